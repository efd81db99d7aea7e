// Numbers at which a report is written: once when they are reached, and again when they have doubled.
#include "track/levels.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "support/tracked_process.h"
#include "track/handles.h"

namespace unfreed::track {
namespace {

using ledger::Kind;

using Reached = std::vector<std::pair<uint32_t, uint64_t>>;
Reached g_reached;

class LevelsTest : public ::testing::Test {
 protected:
  LevelsTest() {
    // There is one table for the process.
    static bool has_levels = [] {
      set_level_handler([](uint32_t level, uint64_t value) { g_reached.push_back({level, value}); });
      return add_level({Kind::timer, false, 3}) && add_level({Kind::timer, false, 5}) &&
             add_level({Kind::shm, false, 0});
    }();
    EXPECT_TRUE(has_levels);
    reset_levels_after_fork();
    g_reached.clear();
  }
  ~LevelsTest() override { set(Kind::timer, 0); }
  /// Acquires or releases timers until there are so many.
  void set(Kind kind, uint64_t count) {
    for (; held_ < count; ++held_) handle_acquired({kind, held_ + 1, 0, ""}, 1, unwind::caller_registers());
    for (; held_ > count; --held_) handle_released(handle_releasing(kind, held_), true);
  }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
  uint64_t held_ = 0;
};

TEST_F(LevelsTest, EachIsSaidOnceAndAgainWhenItHasDoubled) {
  set(Kind::timer, 2);
  EXPECT_EQ(g_reached, Reached());
  set(Kind::timer, 3);
  EXPECT_EQ(g_reached, (Reached{{0, 3}}));
  set(Kind::timer, 4);
  set(Kind::timer, 2);
  set(Kind::timer, 4);
  EXPECT_EQ(g_reached, (Reached{{0, 3}}));
  set(Kind::timer, 13);
  EXPECT_EQ(g_reached, (Reached{{0, 3}, {1, 5}, {0, 6}, {1, 10}, {0, 12}}));
}

TEST_F(LevelsTest, WhatIsPassedAtOnceIsSaidOnce) {
  level_reached(Kind::timer, 100);
  EXPECT_EQ(g_reached, (Reached{{0, 3}, {1, 5}}));
  g_reached.clear();
  level_reached(Kind::timer, 159);
  EXPECT_EQ(g_reached, Reached()) << "the next are 192 and 160";
  level_reached(Kind::timer, 160);
  EXPECT_EQ(g_reached, (Reached{{1, 160}}));
  level_reached(Kind::fd, 1000);
  EXPECT_EQ(g_reached, (Reached{{1, 160}})) << "of another kind";
}

TEST_F(LevelsTest, NoneIsReachedByTheFirst) {
  handle_acquired({Kind::shm, 77, 0, ""}, 1, unwind::caller_registers());
  EXPECT_EQ(g_reached, (Reached{{2, 1}}));
  handle_released(handle_releasing(Kind::shm, 77), true);
}

TEST_F(LevelsTest, AForkChildBeginsAnew) {
  set(Kind::timer, 3);
  reset_levels_after_fork();
  g_reached.clear();
  set(Kind::timer, 2);
  set(Kind::timer, 3);
  EXPECT_EQ(g_reached, (Reached{{0, 3}}));
}

TEST_F(LevelsTest, StepsOfTheHeapAreTaken) {
  EXPECT_FALSE(is_heap_step(kHeapStepBytes - 1, 100));
  EXPECT_TRUE(is_heap_step(kHeapStepBytes, 100));
  EXPECT_TRUE(is_heap_step(kHeapStepBytes + 99, 100));
  EXPECT_FALSE(is_heap_step(kHeapStepBytes + 100, 100));
}

TEST_F(LevelsTest, ThereAreOnlySoMany) {
  for (size_t count = 3; count < kMostLevels; ++count) EXPECT_TRUE(add_level({Kind::library, false, 1'000'000}));
  EXPECT_FALSE(add_level({Kind::library, false, 1}));
}

}  // namespace
}  // namespace unfreed::track
