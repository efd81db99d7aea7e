// Since when a number has grown, from what a process recorded of it at distances that double.
#include "render/history.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace unfreed::render {
namespace {

using report::PastCount;

constexpr uint64_t kMinute = 60'000'000'000, kHour = 60 * kMinute, kDay = 24 * kHour;

/// `held`: at a time after the start of a process that is `age` old.
std::vector<PastCount> recorded(uint64_t age, const std::function<double(double minutes)>& held) {
  std::vector<PastCount> history{{age, 0, {}}};
  std::vector<uint64_t> agos;
  for (uint64_t ago = kMinute; ago < age; ago += ago / 2) agos.push_back(ago);
  for (auto ago = agos.rbegin(); ago != agos.rend(); ++ago)
    history.push_back({*ago, static_cast<uint64_t>(held(static_cast<double>(age - *ago) / kMinute)), {}});
  history.push_back({0, static_cast<uint64_t>(held(static_cast<double>(age) / kMinute)), {}});
  return history;
}

TEST(Rise, BeginsWhereTheNumberWasLast) {
  // 12 for a week, then two more a minute for three hours.
  auto rise = find_rise(recorded(7 * kDay, [](double at) { return 12 + 2 * std::max(0.0, at - (7 * 1440 - 180)); }));
  ASSERT_TRUE(rise);
  EXPECT_EQ(rise->from, 12u);
  EXPECT_EQ(rise->to, 372u);
  EXPECT_GE(rise->since_ns, 3 * kHour);
  EXPECT_LE(rise->since_ns, 5 * kHour) << "there is a sample within half of it";
}

TEST(Rise, OfALeakGoesBackToTheStart) {
  auto rise = find_rise(recorded(2 * kDay, [](double at) { return at / 10; }));
  ASSERT_TRUE(rise);
  EXPECT_EQ(rise->from, 0u);
  EXPECT_EQ(rise->since_ns, 2 * kDay);
  EXPECT_TRUE(find_rise(recorded(kDay, [](double at) { return at * at; }))) << "ever faster";
}

TEST(Rise, IsNoneWhereItHasStopped) {
  EXPECT_FALSE(find_rise(recorded(kDay, [](double) { return 500; })));
  EXPECT_FALSE(find_rise(recorded(kDay, [](double at) { return std::min(1000.0, at * 5); }))) << "a cache that is full";
  EXPECT_FALSE(find_rise(recorded(kDay, [](double at) { return at < 30 ? 1000 : 10; }))) << "it was emptied";
}

TEST(Rise, OfASawtoothIsItsLastToothAtMost) {
  auto rise = find_rise(recorded(kDay, [](double at) { return 100 + 10 * static_cast<int>(at) % 1000; }));
  if (rise) {
    EXPECT_LE(rise->since_ns, 3 * kHour);
  }
  // A tooth takes 100 minutes; here it has just begun.
  EXPECT_FALSE(find_rise(
      recorded(16 * 100 * kMinute + kMinute / 2, [](double at) { return 1000 + 10 * (static_cast<int>(at) % 100); })));
}

TEST(Rise, IsNotMadeOfAFewMore) {
  EXPECT_FALSE(find_rise(recorded(kDay, [](double at) { return 1000 + at / 100; })));
  EXPECT_FALSE(find_rise(recorded(kDay, [](double at) { return at > 1000 ? 2 : 0; })));
  EXPECT_FALSE(find_rise({}));
}

TEST(Rise, OfACallSiteIsOfAllItsStacks) {
  base::Arena arena;
  report::Report report;
  auto site = [&](std::vector<PastCount> history, uint64_t live) {
    report::Site& one = *report.sites.add(arena);
    one.live = live;
    one.first_age_ns = kDay;
    for (const PastCount& past : history) one.history.add(arena, past);
  };
  site({{kDay, 0, {}}, {2 * kHour, 10, {}}, {kHour, 20, {}}}, 40);
  site({{kDay, 0, {}}, {kHour, 100, {}}}, 200);
  site({}, 7);  // has not grown
  Place place;
  place.report = &report;
  place.live = 247;
  for (uint32_t at = 0; at < 3; ++at) place.sites.add(arena, at);
  std::vector<PastCount> history = history_of(place);
  ASSERT_EQ(history.size(), 4u);
  EXPECT_EQ(history[0].live, 7u);
  EXPECT_EQ(history[1].live, 17u);
  EXPECT_EQ(history[2].live, 127u);
  EXPECT_EQ(history[3].live, 247u);
  EXPECT_EQ(history[3].ago_ns, 0u);
}

/// As it may stand in a report that is not ours.
TEST(Rise, TakesNoHistoryThatGoesBack) {
  base::Arena arena;
  report::Report report;
  report::Site& site = *report.sites.add(arena);
  for (const PastCount& past :
       {PastCount{kHour, 5, {}}, PastCount{kHour, 6, {}}, PastCount{kDay, 9, {}}, PastCount{0, 1, {}}})
    site.history.add(arena, past);
  Place place;
  place.report = &report;
  place.live = 3;
  place.sites.add(arena, 0);
  std::vector<PastCount> history = history_of(place);
  ASSERT_EQ(history.size(), 3u);
  EXPECT_EQ(history[0].ago_ns, kHour);
  EXPECT_EQ(history[0].live, 6u);
  EXPECT_EQ(history[1].live, 1u);
  EXPECT_EQ(history[2].live, 3u);
}

}  // namespace
}  // namespace unfreed::render
