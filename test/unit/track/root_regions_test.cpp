// Memory that the program has named as a place where pointers to blocks lie.
#include "track/root_regions.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace unfreed::track {
namespace {

using Regions = std::vector<std::pair<uintptr_t, uintptr_t>>;

Regions all() {
  Regions regions;
  each_root_region([&](RootRegion one) { regions.emplace_back(one.low, one.high); });
  return regions;
}

TEST(RootRegions, AreThoseThatWereAddedAndNotRemoved) {
  EXPECT_EQ(all(), Regions{});
  EXPECT_TRUE(add_root_region({10, 20}));
  EXPECT_TRUE(add_root_region({10, 30}));
  EXPECT_TRUE(add_root_region({20, 30}));
  EXPECT_EQ(all(), (Regions{{10, 20}, {10, 30}, {20, 30}}));
  EXPECT_TRUE(remove_root_region({10, 30}));
  EXPECT_EQ(all(), (Regions{{10, 20}, {20, 30}}));
  for (RootRegion unknown : {RootRegion{10, 30}, RootRegion{10, 21}, RootRegion{11, 20}})
    EXPECT_FALSE(remove_root_region(unknown)) << unknown.low << " to " << unknown.high;
  EXPECT_TRUE(remove_root_region({20, 30}));
  EXPECT_TRUE(remove_root_region({10, 20}));
  EXPECT_EQ(all(), Regions{});
}

TEST(RootRegions, AreNotEmpty) {
  EXPECT_FALSE(add_root_region({10, 10}));
  EXPECT_FALSE(add_root_region({20, 10}));
  EXPECT_EQ(all(), Regions{});
}

TEST(RootRegions, AreSoManyAndNoMore) {
  uintptr_t count = 0;
  while (count < 100'000 && add_root_region({count, count + 1})) ++count;
  EXPECT_EQ(count, 1024u);
  EXPECT_EQ(all().size(), count);
  while (count--) EXPECT_TRUE(remove_root_region({count, count + 1}));
  EXPECT_EQ(all(), Regions{});
}

}  // namespace
}  // namespace unfreed::track
