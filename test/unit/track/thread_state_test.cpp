// The states of threads: handed from ended threads to new ones, which must know nothing of what those knew.
#include "track/thread_state.h"

#include <gtest/gtest.h>

#include <thread>

#include "support/tracked_process.h"

namespace unfreed::track {
namespace {

class ThreadStateTest : public ::testing::Test {
 protected:
  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

TEST_F(ThreadStateTest, AThreadHasOneUntilItsEnd) {
  std::thread([] {
    ThreadState* state = own_state();
    ASSERT_NE(state, nullptr);
    EXPECT_EQ(own_state(), state);
    EXPECT_EQ(state->tid, base::current_tid());
    EXPECT_EQ(state->record, -1);
    // Not the address of a variable, which a sanitizer may keep elsewhere.
    EXPECT_TRUE(state->is_own_stack(reinterpret_cast<uintptr_t>(__builtin_frame_address(0))));
    EXPECT_FALSE(state->is_own_stack(state->bounds.high));
    retire_own_state();
    EXPECT_EQ(own_state(), nullptr) << "its ending has begun";
  }).join();
}

TEST_F(ThreadStateTest, ANewThreadKnowsNothingOfTheStacksOfAnEndedOne) {
  ThreadState* first = nullptr;
  const unwind::Registers kFrom{0x1000, 0x2000, 0x3000};
  std::thread([&] {
    first = own_state();
    StackMemo::Searches miss;
    ASSERT_EQ(first->foreign.find(kFrom, 5, false, miss), 0u);
    unwind::SlotLog log;
    first->foreign.remember(kFrom, 5, miss, 77, log);
    ASSERT_EQ(first->foreign.find(kFrom, 5, false, miss), 77u);
    retire_own_state();
  }).join();
  for (bool is_told : {false, true})
    std::thread([&] {
      if (is_told) {
        start_with_state(take_state(), size_t{1} << 20, 9);
        EXPECT_EQ(t_local.state->record, 9);
        EXPECT_EQ(t_local.stack_bytes, size_t{1} << 20);
        EXPECT_EQ(t_local.state->bounds.high - t_local.state->bounds.low, size_t{1} << 20);
        EXPECT_EQ(t_local.busy, 0u);
      }
      ASSERT_EQ(own_state(), first) << "it is used again";
      EXPECT_EQ(first->tid, base::current_tid());
      StackMemo::Searches miss;
      EXPECT_EQ(first->foreign.find(kFrom, 5, false, miss), 0u);
      retire_own_state();
    }).join();
}

TEST_F(ThreadStateTest, AHandlerMayHaveMadeOneBeforeTheThreadsRoutine) {
  std::thread([] {
    ThreadState* made = own_state();
    ThreadState* given = take_state();
    ASSERT_NE(given, made);
    start_with_state(given, size_t{1} << 20, 4);
    EXPECT_EQ(own_state(), made);
    EXPECT_EQ(made->record, 4);
    EXPECT_EQ(take_state(), given) << "the one that it was given is free";
    give_state_back(given);
    retire_own_state();
  }).join();
}

TEST_F(ThreadStateTest, AVerbInAVerbHasNone) {
  ThreadState* own = own_state();
  {
    StateUse outer;
    EXPECT_EQ(outer.state(), own);
    StateUse inner;
    EXPECT_EQ(inner.state(), nullptr);
  }
  StateUse again;
  EXPECT_EQ(again.state(), own);
}

TEST_F(ThreadStateTest, AVforkChildIsKnownByItsNumber) {
  lend_memory();
  EXPECT_EQ(t_local.lender_tid, base::current_tid());
  EXPECT_FALSE(in_vfork_child());
  enter_vfork_child();
  EXPECT_FALSE(in_vfork_child()) << "this is the thread that lent its memory: the child has gone";
  EXPECT_EQ(t_local.vfork_child, 0u);
  enter_vfork_child();
  t_local.lender_tid = 1;
  EXPECT_TRUE(in_vfork_child());
  EXPECT_TRUE(back_from_vfork_child());
  t_local.lender_tid = base::current_tid();
  EXPECT_FALSE(back_from_vfork_child());
  EXPECT_FALSE(in_vfork_child());
}

}  // namespace
}  // namespace unfreed::track
