#include "render/growth.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

namespace unfreed::render {

namespace {

using report::Course;
using report::Growth;

constexpr size_t kMostWindows = 12;
constexpr double kDayNs = 86400e9;
/// Quantiles of the normal distribution: 1 % on one side, 5 % on both.
constexpr double kSignificant = 2.326, kConfident = 1.96;
constexpr size_t kFewestRises = 4;

struct Floor {
  double at_ns;
  double value;
};

std::vector<Floor> floors_of(std::span<const Look> looks) {
  size_t windows = std::min(kMostWindows, looks.size());
  std::vector<Floor> floors;
  for (size_t window = 0; window < windows; ++window) {
    std::span<const Look> part = looks.subspan(looks.size() * window / windows);
    part = part.first(looks.size() * (window + 1) / windows - looks.size() * window / windows);
    auto lowest = std::min_element(part.begin(), part.end(),
                                   [](const Look& left, const Look& right) { return left.value < right.value; });
    double middle = (static_cast<double>(part.front().at_ns) + static_cast<double>(part.back().at_ns)) / 2;
    floors.push_back({middle, static_cast<double>(lowest->value)});
  }
  return floors;
}

/// Of Kendall's S, without a trend; groups of equal values make it smaller.
double variance_of_s(std::span<const Floor> floors) {
  auto term = [](double count) { return count * (count - 1) * (2 * count + 5) / 18; };
  std::map<double, double> equal;
  for (const Floor& one : floors) ++equal[one.value];
  double variance = term(static_cast<double>(floors.size()));
  for (const auto& [value, count] : equal) variance -= term(count);
  return variance;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

template <class Values>
double median_of(std::span<const Values> all) {
  std::vector<double> values;
  for (const Values& one : all) values.push_back(static_cast<double>(one.value));
  return median(values);
}

struct Trend {
  bool rises = false;
  double slope = 0;  ///< per nanosecond
  double least = 0;
  double most = 0;
};

Trend trend_of(std::span<const Floor> floors) {
  Trend trend;
  double s = 0;
  std::vector<double> slopes;
  for (size_t left = 0; left < floors.size(); ++left) {
    for (size_t right = left + 1; right < floors.size(); ++right) {
      double rise = floors[right].value - floors[left].value;
      s += rise > 0 ? 1 : rise < 0 ? -1 : 0;
      double time = floors[right].at_ns - floors[left].at_ns;
      if (time > 0) slopes.push_back(rise / time);
    }
  }
  double variance = variance_of_s(floors);
  if (s <= 0 || variance <= 0 || slopes.empty()) return trend;
  trend.rises = (s - 1) / std::sqrt(variance) >= kSignificant;
  trend.slope = median(slopes);
  std::sort(slopes.begin(), slopes.end());
  double pairs = static_cast<double>(slopes.size()), width = kConfident * std::sqrt(variance);
  auto at = [&](double rank) { return slopes[static_cast<size_t>(std::clamp(rank, 0.0, pairs - 1))]; };
  trend.least = at(std::floor((pairs - width) / 2));
  trend.most = at(std::ceil((pairs + width) / 2));
  return trend;
}

/// Floors that are higher than all before.
struct Rises {
  size_t count = 0;
  size_t last = 0;  ///< which floor
  double largest = 0;
  double deepest_fall = 0;  ///< from the highest before
};

Rises rises_of(std::span<const Floor> floors) {
  Rises rises;
  double highest = floors[0].value;
  for (size_t at = 1; at < floors.size(); ++at) {
    rises.deepest_fall = std::max(rises.deepest_fall, highest - floors[at].value);
    if (floors[at].value <= highest) continue;
    ++rises.count;
    rises.last = at;
    rises.largest = std::max(rises.largest, floors[at].value - highest);
    highest = floors[at].value;
  }
  return rises;
}

bool has_stopped(std::span<const Floor> floors, const Rises& rises) {
  size_t since = floors.size() - 1 - rises.last;
  size_t usual = floors.size() / std::max<size_t>(rises.count, 1);
  if (since > std::max<size_t>(2, 2 * usual - 1)) return true;
  size_t third = floors.size() / 3;
  double first = median_of(floors.first(third)), last = median_of(floors.last(third));
  double middle = median_of(floors.subspan(third, floors.size() - 2 * third));
  return last - middle < (middle - first) / 2;
}

uint64_t per_day(double slope) {
  constexpr double kMost = 1e18;
  return slope <= 0 ? 0 : static_cast<uint64_t>(std::ceil(std::min(slope * kDayNs, kMost)));
}

}  // namespace

Growth judge_growth(const std::vector<Look>& looks) {
  Growth growth;
  if (looks.empty()) return growth;
  growth.first = looks.front().value;
  growth.last = looks.back().value;
  if (looks.size() < report::kFewestLooks) {
    growth.reason = "there were too few looks";
    return growth;
  }
  std::vector<Floor> floors = floors_of(std::span(looks).subspan(looks.size() / 5));
  Trend trend = trend_of(floors);
  Rises rises = rises_of(floors);
  double gain = floors.back().value - floors.front().value;
  if (!trend.rises || gain <= 0 || rises.deepest_fall > gain / 2) {
    growth.course = growth.last > growth.first && floors.front().value > static_cast<double>(growth.first) && gain >= 0
                        ? Course::levels_off
                        : Course::steady;
    return growth;
  }
  if (has_stopped(floors, rises)) {
    growth.course = Course::levels_off;
    return growth;
  }
  if (rises.count < kFewestRises || rises.largest > gain * 0.6) {
    growth.reason = "it rose too few times";
    return growth;
  }
  growth.course = Course::grows;
  growth.per_day = per_day(trend.slope);
  growth.per_day_least = per_day(trend.least);
  growth.per_day_most = per_day(trend.most);
  // A slow one may have more pairs of equal floors than others.
  if (!growth.per_day) growth.per_day = per_day(gain / (floors.back().at_ns - floors.front().at_ns));
  return growth;
}

double shift_of(const std::vector<Look>& looks) {
  size_t third = looks.size() / 3;
  std::span<const Look> all(looks);
  return third ? median_of(all.last(third)) - median_of(all.first(third)) : 0;
}

}  // namespace unfreed::render
