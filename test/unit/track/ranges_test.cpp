// Memory that is searched for pointers: the threads' stacks, and what the program has named.
#include <gtest/gtest.h>

#include <map>

#include "track/root_regions.h"
#include "track/thread_ranges.h"

namespace unfreed::track {
namespace {

/// By their low ends.
std::map<uintptr_t, uintptr_t> regions() {
  std::map<uintptr_t, uintptr_t> all;
  each_root_region([&](RootRegion one) { EXPECT_TRUE(all.insert({one.low, one.high}).second); });
  return all;
}

TEST(RootRegionsTest, AreThereFromTheirRegistrationOn) {
  EXPECT_TRUE(regions().empty());
  EXPECT_TRUE(add_root_region({100, 200}));
  EXPECT_TRUE(add_root_region({300, 400}));
  EXPECT_TRUE(add_root_region({500, 600}));
  EXPECT_EQ(regions(), (std::map<uintptr_t, uintptr_t>{{100, 200}, {300, 400}, {500, 600}}));
  EXPECT_TRUE(remove_root_region({100, 200}));
  EXPECT_EQ(regions(), (std::map<uintptr_t, uintptr_t>{{300, 400}, {500, 600}}));
  EXPECT_FALSE(remove_root_region({100, 200}));
  EXPECT_FALSE(remove_root_region({300, 401}));
  EXPECT_FALSE(remove_root_region({301, 400}));
  EXPECT_TRUE(remove_root_region({500, 600}));
  EXPECT_TRUE(remove_root_region({300, 400}));
  EXPECT_TRUE(regions().empty());
}

TEST(RootRegionsTest, AnEmptyOneIsRefused) {
  EXPECT_FALSE(add_root_region({100, 100}));
  EXPECT_FALSE(add_root_region({101, 100}));
  EXPECT_TRUE(regions().empty());
}

TEST(RootRegionsTest, WithoutRoomThereAreNoMore) {
  uintptr_t low = 1000;
  while (add_root_region({low, low + 1})) low += 2;
  EXPECT_EQ(regions().size(), (low - 1000) / 2);
  EXPECT_GE(regions().size(), 100u);
  EXPECT_TRUE(remove_root_region({1000, 1001}));
  EXPECT_TRUE(add_root_region({low, low + 1}));
  for (auto [from, to] : regions()) EXPECT_TRUE(remove_root_region({from, to}));
}

/// By their low ends: how often, and the latest.
std::map<uintptr_t, ThreadRange> stacks() {
  std::map<uintptr_t, ThreadRange> all;
  each_thread_range([&](const ThreadRange& one) { EXPECT_TRUE(all.insert({one.low, one}).second); });
  return all;
}

TEST(ThreadRangesTest, AStackIsThereOnceHoweverManyThreadsUseIt) {
  EXPECT_TRUE(stacks().empty());
  constexpr uintptr_t kStack = uintptr_t{1} << 23;
  constexpr uintptr_t kCount = 500;  // so that some lie beside the place that is theirs
  for (uintptr_t round = 0; round < 2; ++round)
    for (uintptr_t at = 1; at <= kCount; ++at)
      note_thread_range({at * kStack, (at + 1) * kStack - round, at * kStack + 100 + round});
  auto all = stacks();
  EXPECT_EQ(all.size(), kCount);
  for (const auto& [low, one] : all) {
    EXPECT_EQ(one.high, low + kStack - 1);
    EXPECT_EQ(one.thread, low + 101);
  }
}

}  // namespace
}  // namespace unfreed::track
