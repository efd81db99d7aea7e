// Heap blocks from the call that acquires them to the one that releases them. The blocks are addresses: nothing is
// there.
#include "track/heap.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "support/tracked_process.h"
#include "track/levels.h"
#include "track/sampling.h"

namespace unfreed::track {
namespace {

using ledger::Kind;
using ledger::SectionId;

constexpr uintptr_t kHeap = 0x7000'0000'0000;

void* at(uintptr_t number) { return reinterpret_cast<void*>(kHeap + 4096 * number); }

/// Each call of it is a call site of its own.
[[gnu::noinline]] void acquire(void* block, size_t bytes) {
  heap_acquired(block, bytes, 1, unwind::hook_frame());
  asm volatile("");
}

class HeapTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(g_heap_index.prepare(32)); }
  HeapTest() {
    use(HeapUse::every_block);
    before_ = held();
    unknown_before_ = unknown_releases();
  }
  ~HeapTest() override {
    Block gone;
    for (uintptr_t number = 0; number < 100; ++number) g_heap_index.take(reinterpret_cast<uintptr_t>(at(number)), gone);
    g_tracker.sample_bytes = 0;
    use(HeapUse::none);
    t_local.sample_gap = 0;
  }
  static void use(HeapUse use) {
    g_tracker.heap_use = use;
    refresh_active();
  }
  /// What all sites hold.
  NetHeap held() {
    fold_counters(*own_state());
    NetHeap sum;
    for (uint64_t index = 1; index < process_.count(SectionId::sites); ++index) {
      auto& site = process_.record<ledger::Site>(SectionId::sites, index);
      if (site.kind != static_cast<uint8_t>(Kind::heap)) continue;
      sum.blocks += static_cast<int64_t>(site.acquired - site.released);
      sum.bytes += static_cast<int64_t>(site.acquired_bytes - site.released_bytes);
    }
    return {sum.blocks - before_.blocks, sum.bytes - before_.bytes};
  }
  void expect_held(int64_t blocks, int64_t bytes) {
    NetHeap now = held();
    EXPECT_EQ(now.blocks, blocks);
    EXPECT_EQ(now.bytes, bytes);
  }
  uint64_t unknown_releases() { return process_.totals(Kind::heap).foreign_released - unknown_before_; }
  static bool find(void* block, Block& out) { return g_heap_index.find_block(reinterpret_cast<uintptr_t>(block), out); }
  static bool is_known(void* block) {
    Block known;
    return find(block, known);
  }
  void hold(const Block& block) { ASSERT_TRUE(g_heap_index.put(reinterpret_cast<uintptr_t>(at(blocks_++)), block)); }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
  NetHeap before_;
  uint64_t unknown_before_ = 0;
  uintptr_t blocks_ = 0;
};

TEST_F(HeapTest, BlocksAreHeldUntilTheyAreReleased) {
  uintptr_t count = 5;
  asm volatile("" : "+r"(count));  // or the compiler makes five calls of it
  for (uintptr_t number = 1; number <= count; ++number) acquire(at(number), 100 * number);  // the first one slowly
  EXPECT_GT(process_.count(SectionId::chunks), 0u);
  EXPECT_EQ(process_.count(SectionId::chunks), process_.count(SectionId::chunk_heads));
  expect_held(5, 1500);
  Block first, last;
  ASSERT_TRUE(find(at(1), first) && find(at(5), last));
  EXPECT_EQ(first.site, last.site);
  EXPECT_EQ(last.size_bytes, 500u);
  EXPECT_FALSE(last.ignored);
  for (uintptr_t number = 2; number <= 5; ++number) heap_released(at(number));
  expect_held(1, 100);
  heap_released_slowly(at(1));
  expect_held(0, 0);
  heap_released(nullptr);
  EXPECT_EQ(unknown_releases(), 0u);
}

TEST_F(HeapTest, AReleaseOfAnUnknownBlockIsCountedApart) {
  heap_released(at(1));
  EXPECT_EQ(unknown_releases(), 1u);
  {
    HeapGuard guard;
    heap_released(at(1));
  }
  g_tracker.has_unseen_past = true;
  heap_released(at(1));
  heap_dropped(at(1), {});
  g_tracker.has_unseen_past = false;
  EXPECT_EQ(unknown_releases(), 1u) << "these may well be unknown";
  heap_dropped(at(1), heap_detached(at(1)));
  EXPECT_EQ(unknown_releases(), 2u);
  heap_dropped(nullptr, heap_detached(nullptr));
  EXPECT_EQ(unknown_releases(), 2u);
  expect_held(0, 0);
}

TEST_F(HeapTest, AnAddressThatIsHandedOutAgainWasReleased) {
  for (int i = 0; i < 3; ++i) acquire(at(1), 100);
  expect_held(1, 100);
  acquire(at(1), 7);
  expect_held(1, 7);
  {
    HeapGuard guard;
    acquire(at(1), 50);
  }
  expect_held(0, 0);
  EXPECT_TRUE(is_known(at(1)));
}

TEST_F(HeapTest, WhatIsAcquiredInAGuardOrAPauseIsKnownAndDoesNotCount) {
  Block block;
  {
    HeapGuard guard;
    acquire(at(1), 100);
    acquire(nullptr, 100);
  }
  ASSERT_TRUE(find(at(1), block));
  EXPECT_TRUE(block.ignored);
  EXPECT_FALSE(block.in_use);
  {
    test::Paused paused;
    refresh_active();
    acquire(at(2), 200);
  }
  ++t_local.heap_pause_depth;
  refresh_active();
  acquire(at(3), 300);
  --t_local.heap_pause_depth;
  refresh_active();
  for (uintptr_t number : {2, 3}) {
    ASSERT_TRUE(find(at(number), block));
    EXPECT_TRUE(block.ignored);
    EXPECT_TRUE(block.in_use);
    EXPECT_EQ(block.size_bytes, 100 * number);
  }
  expect_held(0, 0);
  for (uintptr_t number : {1, 2, 3}) heap_released(at(number));
  expect_held(0, 0);
  EXPECT_EQ(unknown_releases(), 0u);
}

TEST_F(HeapTest, AMovedBlockIsTheOneThatItWas) {
  acquire(at(1), 100);
  Detached moving = heap_detached(at(1));
  EXPECT_TRUE(moving.known);
  EXPECT_FALSE(is_known(at(1)));
  expect_held(1, 100);
  heap_reattached(at(1), moving);
  Block block;
  ASSERT_TRUE(find(at(1), block));
  EXPECT_EQ(block.site, moving.block.site);
  expect_held(1, 100);
  heap_dropped(at(1), heap_detached(at(1)));
  expect_held(0, 0);
  EXPECT_EQ(unknown_releases(), 0u);
  heap_reattached(at(2), heap_detached(at(2)));
  EXPECT_FALSE(is_known(at(2)));
}

TEST_F(HeapTest, ABlockIsMovingWhileTheCallLasts) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer keeps locals elsewhere than on the stack";
#endif
  auto sp = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  own_state();
  EXPECT_FALSE(is_moving_block(sp - 4096));
  {
    BlockMove move;
    EXPECT_TRUE(is_moving_block(reinterpret_cast<uintptr_t>(&move) - 64));
    EXPECT_FALSE(is_moving_block(reinterpret_cast<uintptr_t>(&move) + 64)) << "that was left by a jump";
    EXPECT_TRUE(is_moving_block(64)) << "on another stack";
  }
  EXPECT_FALSE(is_moving_block(sp - 4096));
}

TEST_F(HeapTest, ABlockThatIsIgnoredDoesNotCountAnyMore) {
  acquire(at(1), 100);
  acquire(at(2), 10);
  {
    test::Untracked untracked;
    EXPECT_FALSE(heap_ignore(at(1)));
  }
  EXPECT_TRUE(heap_ignore(at(1)));
  expect_held(1, 10);
  EXPECT_TRUE(heap_ignore(at(1)));
  expect_held(1, 10);
  heap_released(at(1));
  heap_released(at(2));
  expect_held(0, 0);
  EXPECT_FALSE(heap_ignore(at(3)));
  EXPECT_FALSE(heap_ignore(nullptr));
}

TEST_F(HeapTest, AFailureIsNotedUnlessItWasAProbe) {
  uint64_t before = process_.count(SectionId::failures);
  {
    HeapGuard guard;
    acquire(nullptr, 100);
  }
  acquire(nullptr, size_t{1} << 46);
  EXPECT_EQ(process_.count(SectionId::failures), before);
  acquire(nullptr, (size_t{1} << 46) - 1);
  ASSERT_EQ(process_.count(SectionId::failures), before + 1);
  EXPECT_EQ(process_.record<ledger::Failure>(SectionId::failures, before).error, ENOMEM);
  expect_held(0, 0);
}

TEST_F(HeapTest, WhereTheHeapIsNotTrackedAThreadsBlocksArePassedOver) {
  use(HeapUse::none);
  EXPECT_FALSE(heap_passes_over(100));
  acquire(at(1), 100);
  EXPECT_FALSE(is_known(at(1)));
  EXPECT_TRUE(heap_passes_over(100));
  EXPECT_TRUE(heap_passed_over(at(1)));
}

TEST_F(HeapTest, OfASampledHeapBlocksStandForOthers) {
  use(HeapUse::sampled);
  g_tracker.sample_bytes = 4096;
  auto& variance = process_.header().sample_variance_blocks;
  uint64_t none = variance;
  unsigned taken = 0;
  for (int i = 0; i < 2000; ++i) {
    acquire(at(1), 512);
    Block block;
    if (!find(at(1), block)) continue;
    ++taken;
    EXPECT_TRUE(block.sampled);
    SampleWeight weight = sample_weight(512, 4096);
    expect_held(static_cast<int64_t>(weight.blocks), static_cast<int64_t>(512 * weight.blocks));
    EXPECT_NE(variance, none);
    heap_released(at(1));
    expect_held(0, 0);
  }
  EXPECT_GT(taken, 100u);  // of 235; less than that, once in more runs than there will be
  EXPECT_LT(taken, 400u);
  heap_released(at(2));
  EXPECT_TRUE(heap_ignore(at(2))) << "one that was not sampled";
  EXPECT_EQ(unknown_releases(), 0u);
}

uint64_t g_reached;

TEST_F(HeapTest, ALevelIsReachedWhenSoMuchIsHeld) {
  set_level_handler([](uint32_t, uint64_t value) { g_reached = value; });
  constexpr size_t kBlock = 512 * 1024;
  ASSERT_TRUE(add_level({Kind::heap, true, 4 * kBlock}));
  uintptr_t number = 1;
  auto hold_until = [&](uintptr_t last) {
    for (; number <= last; ++number) acquire(at(number), kBlock);
  };
  hold_until(3);
  EXPECT_EQ(g_reached, 0u);
  hold_until(4);
  EXPECT_EQ(g_reached, 4 * kBlock);
  g_reached = 0;
  for (uintptr_t one = 1; one <= 4; ++one) heap_released(at(one));
  for (uintptr_t one = 1; one <= 4; ++one) acquire(at(one), kBlock);
  EXPECT_EQ(g_reached, 0u) << "only when it has doubled";
  hold_until(8);
  EXPECT_EQ(g_reached, 8 * kBlock);
  // While a thread moves its counters, the sum is not known.
  ++process_.header().fold_sequence;
  hold_until(17);
  EXPECT_EQ(g_reached, 8 * kBlock);
  ++process_.header().fold_sequence;
  hold_until(18);
  EXPECT_EQ(g_reached, 16 * kBlock);
  for (uintptr_t one = 1; one < number; ++one) heap_released(at(one));
  expect_held(0, 0);
}

TEST_F(HeapTest, WhatIsHeldSinceAMarkIsCountedBySite) {
  hold({.site = 1, .epoch = 4, .size_bytes = 1000});
  hold({.site = 1, .epoch = 5, .size_bytes = 100});
  hold({.site = 1, .epoch = 6, .size_bytes = 10});
  hold({.site = 2, .epoch = 6, .size_bytes = 7});
  hold({.site = 2, .epoch = 6, .ignored = true, .size_bytes = 10'000});
  LiveCount by_site[3]{};
  LiveSince live(by_site);
  heap_live_since(5, live);
  EXPECT_EQ(live.total(), 3);
  EXPECT_EQ(live.of(1).count, 2u);
  EXPECT_EQ(live.of(1).bytes, 110u);
  EXPECT_EQ(live.of(2).count, 1u);
  EXPECT_EQ(live.of(2).bytes, 7u);
}

TEST_F(HeapTest, OfASampledHeapWhatIsHeldSinceAMarkIsEstimated) {
  g_tracker.sample_bytes = 4096;
  constexpr uint64_t kSize = 512, kCount = 8;
  for (uint64_t i = 0; i < kCount; ++i) hold({.site = 1, .epoch = 5, .size_bytes = kSize, .sampled = true});
  hold({.site = 1, .epoch = 4, .size_bytes = kSize, .sampled = true});
  LiveCount by_site[2]{};
  LiveSince live(by_site);
  heap_live_since(5, live);
  double whole = static_cast<double>(sample_weight(kSize, 4096).blocks) / (1u << ledger::kSampledCountShift);
  EXPECT_GT(whole, 8);  // 1 / (1 - exp(-1/8))
  EXPECT_NEAR(static_cast<double>(live.of(1).count), kCount * whole, 1);
  EXPECT_NEAR(static_cast<double>(live.of(1).bytes), kCount * whole * kSize, kSize);
  EXPECT_NEAR(static_cast<double>(live.total()), kCount * whole, 1);
}

}  // namespace
}  // namespace unfreed::track
