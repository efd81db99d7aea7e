// Sums of what was acquired since a mark: nothing of the total is left out where a site is not known.
#include "track/live_since.h"

#include <gtest/gtest.h>

namespace unfreed::track {
namespace {

TEST(LiveSince, WhatHasNoKnownSiteIsTheRest) {
  constexpr uint32_t kNone = 0, kKnown = 1, kNewer = 3;
  LiveCount by_site[3]{};
  LiveSince live(by_site);
  live.add(kNone, 10);
  live.add(kKnown, 100);
  live.add(kNewer, 1000);
  EXPECT_EQ(live.total(), 3);
  EXPECT_EQ(live.of(kKnown).count, 1u);
  EXPECT_EQ(live.of(kKnown).bytes, 100u);
  EXPECT_EQ(live.of(2).count, 0u);
  EXPECT_EQ(live.rest().count, 2u);
  EXPECT_EQ(live.rest().bytes, 1010u);
}

TEST(LiveSince, WithoutATableAllIsTheRest) {
  LiveSince live;
  live.add(1);
  live.add(2);
  EXPECT_EQ(live.total(), 2);
  EXPECT_EQ(live.rest().count, 2u);
}

}  // namespace
}  // namespace unfreed::track
