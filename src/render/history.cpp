#include "render/history.h"

#include <fmt/format.h>

#include <algorithm>

#include "render/quantities.h"

namespace unfreed::render {

namespace {

using report::PastCount;

/// What a place held became more, or less, modulo 2^64.
struct Change {
  uint64_t ago_ns;
  uint64_t by;
  bool is_look;  ///< of its process
};

void add_changes(const report::Site& site, std::vector<Change>& changes) {
  // It has not grown, so it held about as much since it began.
  if (site.history.empty()) changes.push_back({site.first_age_ns, site.live + site.running, false});
  PastCount before{UINT64_MAX, 0, {}};
  for (const PastCount& one : site.history) {
    if (one.ago_ns > before.ago_ns) continue;  // not a report of ours
    changes.push_back({one.ago_ns, one.live - before.live, true});
    before = one;
  }
}

/// Less is not worth saying.
uint64_t least_rise(uint64_t from) { return std::max<uint64_t>(4, from / 4); }

}  // namespace

std::vector<PastCount> history_of(const Place& place) {
  std::vector<PastCount> history;
  std::vector<Change> changes;
  for (uint32_t index : place.sites) add_changes(place.report->sites[index], changes);
  std::sort(changes.begin(), changes.end(),
            [](const Change& left, const Change& right) { return left.ago_ns > right.ago_ns; });
  uint64_t held = 0;
  for (auto one = changes.begin(); one != changes.end();) {
    uint64_t ago_ns = one->ago_ns;
    bool is_look = false;
    for (; one != changes.end() && one->ago_ns == ago_ns; ++one) {
      held += one->by;
      is_look = is_look || one->is_look;
    }
    if (is_look) history.push_back({ago_ns, held, {}});
  }
  if (history.empty()) return history;
  history.push_back({0, place.live + place.running, {}});
  return history;
}

std::optional<Rise> find_rise(std::span<const PastCount> history) {
  /// Before the rise it grew so much slower; a fall of so much of the rise is none of it.
  constexpr double kSlower = 8, kFall = 2;
  if (history.size() < 2) return {};
  const PastCount& now = history.back();
  const PastCount* low = &now;
  for (size_t at = history.size() - 1; at-- > 0;) {
    const PastCount& one = history[at];
    auto risen = static_cast<double>(now.live - low->live);
    if (one.live >= low->live) {
      if (static_cast<double>(one.live - low->live) * kFall > risen && risen > 0) break;
      continue;
    }
    auto step = static_cast<double>(low->live - one.live), before = static_cast<double>(one.ago_ns - low->ago_ns);
    auto since = static_cast<double>(low->ago_ns);
    bool is_enough = now.live - low->live >= least_rise(low->live);
    if (is_enough && before >= since && step * since * kSlower < risen * before) break;
    low = &one;
  }
  uint64_t risen = now.live - low->live;
  if (risen < least_rise(low->live)) return {};
  // Has it gone on?
  uint64_t still = 0;
  for (const PastCount& one : history)
    if (one.live + risen / 8 < now.live || (risen < 8 && one.live < now.live)) still = one.ago_ns;
  if (still > low->ago_ns / 2) return {};
  return Rise{low->live, now.live, low->ago_ns};
}

std::string describe_rise(const Place& place) {
  constexpr uint64_t kWorthSaying = 1'000'000'000;
  bool is_said = place.growth && place.growth->course == report::Course::grows;
  std::optional<Rise> rise = is_said ? std::nullopt : find_rise(history_of(place));
  if (!rise || rise->since_ns < kWorthSaying) return {};
  return fmt::format(", grown from {} to {} in the last {}", write_count(rise->from), write_count(rise->to),
                     write_duration(rise->since_ns));
}

}  // namespace unfreed::render
