// Twenty patterns of which it is known whether they leak, each run with 25 seeds: how many leaks are found, and how
// many of those found are leaks. Time is simulated, so a day takes no time.
#include "render/growth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <iostream>
#include <random>
#include <string>
#include <vector>

namespace unfreed::render {
namespace {

using report::Course;
using Random = std::mt19937_64;

constexpr double kMinute = 60, kHour = 60 * kMinute, kDay = 24 * kHour;
constexpr uint64_t kSecondNs = 1'000'000'000;

double uniform(Random& random) { return std::uniform_real_distribution(0.0, 1.0)(random); }
int poisson(Random& random, double mean) { return mean > 0 ? std::poisson_distribution<int>(mean)(random) : 0; }

/// A program: what it holds at a time, asked for in order.
using Program = std::function<double(double seconds, Random& random)>;

struct Pattern {
  const char* name;
  bool leaks;
  double watched;  ///< seconds
  double every;
  std::function<Program()> start;  ///< each run has its own state
};

/// Holds what arrives at a rate (per second, by time) for good.
Program leaking(std::function<double(double)> rate, double at_start = 20) {
  return [=, held = at_start, last = 0.0](double now, Random& random) mutable {
    held += poisson(random, rate(now) * (now - last));
    last = now;
    return held;
  };
}
auto constantly(double per_second) {
  return [=](double) { return per_second; };
}
/// Two days' load in turn: 1 at noon, 0 at midnight.
double of_day(double now) { return 0.5 - 0.5 * std::cos(2 * M_PI * now / kDay); }

const std::vector<Pattern> kPatterns = {
    {"one descriptor per request, ten requests a second", true, 5 * kMinute, 5, [] { return leaking(constantly(10)); }},
    {"one per hundred requests", true, 10 * kMinute, 10, [] { return leaking(constantly(0.1)); }},
    {"two an hour, watched for a day", true, kDay, 10 * kMinute, [] { return leaking(constantly(2 / kHour)); }},
    {"blocks of all sizes, now and then", true, kHour, kMinute,
     [] {
       return [held = 1e6, last = 0.0](double now, Random& random) mutable {
         for (int more = poisson(random, (now - last) / 20); more > 0; --more)
           held += 64 * std::exp(5 * uniform(random));
         last = now;
         return held;
       };
     }},
    {"a leak below the sawtooth of a collector", true, 2 * kHour, kMinute,
     [] {
       return [](double now, Random& random) {
         return 5e6 + 3e6 * std::fmod(now, 5 * kMinute) / (5 * kMinute) + 400 * now + 1e4 * uniform(random);
       };
     }},
    {"a leak by requests, which come by day", true, 6 * kDay, kHour,
     [] { return leaking([](double now) { return of_day(now) / 600; }); }},
    {"a leak behind a cache that fills first", true, 2 * kHour, kMinute,
     [] {
       return [leak = leaking(constantly(0.02))](double now, Random& random) {
         return leak(now, random) + std::min(500.0, now);
       };
     }},
    {"a leak below the noise of requests being served", true, 2 * kHour, kMinute,
     [] {
       return [leak = leaking(constantly(0.02))](double now, Random& random) {
         return leak(now, random) + poisson(random, 8);
       };
     }},
    {"a list that grows faster and faster", true, kHour, kMinute,
     [] { return leaking([](double now) { return now / kHour; }); }},
    {"a leak in bursts, when a peer reconnects", true, 4 * kHour, 2 * kMinute,
     [] {
       return [held = 10.0, last = 0.0](double now, Random& random) mutable {
         held += 5 * poisson(random, (now - last) / (8 * kMinute));
         last = now;
         return held;
       };
     }},
    {"a cache that fills and stops", false, kHour, kMinute,
     [] { return [](double now, Random&) { return std::min(1000.0, 0.8 * now); }; }},
    {"a cache that fills up ever more slowly", false, 2 * kHour, kMinute,
     [] {
       return [](double now, Random& random) {
         return 5000 * (1 - std::exp(-now / (20 * kMinute))) + poisson(random, 20);
       };
     }},
    {"a cache of limited size, with evictions", false, kHour, kMinute,
     [] { return [](double now, Random& random) { return std::min(2e6, 1500 * now) - 3e4 * uniform(random); }; }},
    {"a pool of connections under changing load", false, 2 * kHour, kMinute,
     [] {
       return [held = 50.0](double, Random& random) mutable {
         held += 0.3 * (50 - held) + 10 * (uniform(random) - 0.5);
         return std::round(held);
       };
     }},
    {"a pool that keeps its highest number", false, 4 * kHour, 2 * kMinute,
     [] {
       return [most = 0.0](double, Random& random) mutable {
         most = std::max<double>(most, poisson(random, 30));
         return most;
       };
     }},
    {"the sawtooth of a collector", false, 2 * kHour, kMinute,
     [] {
       return [](double now, Random& random) {
         return 5e6 + 3e6 * std::fmod(now, 7 * kMinute) / (7 * kMinute) + 1e4 * uniform(random);
       };
     }},
    {"the load of three days", false, 3 * kDay, 20 * kMinute,
     [] { return [](double now, Random& random) { return 10 + poisson(random, 200 * of_day(now)); }; }},
    {"files opened when first needed", false, 2 * kHour, kMinute,
     [] {
       return [at = std::vector<double>()](double now, Random& random) mutable {
         while (at.size() < 3) at.push_back(2 * kHour * uniform(random));
         return 12 + static_cast<double>(std::count_if(at.begin(), at.end(), [&](double one) { return one < now; }));
       };
     }},
    {"requests that are served", false, kHour, 30,
     [] { return [](double, Random& random) { return static_cast<double>(poisson(random, 8)); }; }},
    {"a log's buffer that is handed over when full", false, kHour, kMinute,
     [] {
       return [held = 0.0](double, Random& random) mutable {
         held += 4096 * uniform(random);
         if (held > 16384) held = 0;
         return held;
       };
     }},
};

report::Growth watch(const Pattern& pattern, unsigned seed) {
  Random random(seed);
  Program program = pattern.start();
  std::vector<Look> looks;
  for (double now = 0; now <= pattern.watched; now += pattern.every)
    looks.push_back({static_cast<uint64_t>(now * 1e9), static_cast<uint64_t>(std::max(0.0, program(now, random)))});
  return judge_growth(looks);
}

TEST(Growth, FindsLeaksAndNothingElse) {
  constexpr unsigned kSeeds = 25;
  unsigned found = 0, missed = 0, wrong = 0;
  for (const Pattern& pattern : kPatterns) {
    unsigned grows = 0;
    for (unsigned seed = 1; seed <= kSeeds; ++seed) grows += watch(pattern, seed).course == Course::grows;
    std::cout << "# " << pattern.name << ": " << grows << " of " << kSeeds << " grow\n";
    (pattern.leaks ? found : wrong) += grows;
    missed += pattern.leaks ? kSeeds - grows : 0;
    // No pattern as a whole is misjudged.
    if (pattern.leaks)
      EXPECT_GE(grows, kSeeds * 4 / 5) << pattern.name;
    else
      EXPECT_LE(grows, kSeeds / 10) << pattern.name;
  }
  double precision = found / static_cast<double>(found + wrong), recall = found / static_cast<double>(found + missed);
  std::cout << "# precision " << precision << ", recall " << recall << "\n";
  EXPECT_EQ(kPatterns.size(), 20u);
  EXPECT_GE(precision, 0.97);
  EXPECT_GE(recall, 0.95);
}

std::vector<Look> looks_of(std::vector<uint64_t> values) {
  std::vector<Look> looks;
  for (uint64_t value : values) looks.push_back({looks.size() * 30 * kSecondNs, value});
  return looks;
}

TEST(Growth, SlopeIsThatOfTheFloors) {
  std::vector<uint64_t> values;
  for (uint64_t at = 0; at < 60; ++at) values.push_back(10 + at + at % 2 * 7);
  report::Growth growth = judge_growth(looks_of(values));
  EXPECT_EQ(growth.course, Course::grows);
  EXPECT_EQ(growth.first, 10u);
  EXPECT_EQ(growth.last, 76u);
  // One in thirty seconds.
  EXPECT_NEAR(static_cast<double>(growth.per_day), 2880, 100);
  EXPECT_LE(growth.per_day_least, growth.per_day);
  EXPECT_GE(growth.per_day_most, growth.per_day);
  EXPECT_GT(growth.per_day_least, 2500u);
  EXPECT_LT(growth.per_day_most, 3300u);
}

TEST(Growth, SaysNothingOfTooLittle) {
  std::vector<uint64_t> values;
  for (uint64_t at = 0; at < 11; ++at) values.push_back(at);
  EXPECT_EQ(judge_growth(looks_of(values)).course, Course::unknown);
  EXPECT_FALSE(judge_growth(looks_of(values)).reason.empty());
  values.push_back(11);
  EXPECT_EQ(judge_growth(looks_of(values)).course, Course::grows);
  EXPECT_EQ(judge_growth({}).course, Course::unknown);
  EXPECT_EQ(judge_growth(looks_of(std::vector<uint64_t>(50, 7))).course, Course::steady);
}

TEST(Growth, ASingleStepIsNone) {
  std::vector<uint64_t> values(60, 5);
  for (size_t at = 30; at < 60; ++at) values[at] = 40;
  EXPECT_NE(judge_growth(looks_of(values)).course, Course::grows);
  std::reverse(values.begin(), values.end());
  EXPECT_EQ(judge_growth(looks_of(values)).course, Course::steady);
}

TEST(Growth, TimesMayBeEqualAndValuesHuge) {
  std::vector<Look> looks(40, Look{7, 1});
  for (size_t at = 0; at < looks.size(); ++at) looks[at].value = at << 56;
  EXPECT_NE(judge_growth(looks).first, 1u);
}

}  // namespace
}  // namespace unfreed::render
