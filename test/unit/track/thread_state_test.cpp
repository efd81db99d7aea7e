// The states of threads: handed from ended threads to new ones, which must know nothing of what those knew.
#include "track/thread_state.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

#include "base/address_space.h"
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

/// In a process that has so much address space left, a state is made and used to its end.
void use_where_space_is_short(const ledger::Writer& writer, size_t left) {
  base::Statm now{};
  base::read_statm("/proc/self/statm", now);
  rlimit limit{now.all * 4096 + left, RLIM_INFINITY};
  setrlimit(RLIMIT_AS, &limit);
  base::measure_address_space();
  reset_states_after_fork();
  ThreadState* state = take_state();
  if (!base::is_address_space_short() || !state) _exit(1);
  size_t last = (writer.section(ledger::SectionId::sites).capacity - 1) / ledger::kChunkCells;
  for (size_t at = 0; at <= last; ++at) {
    state->chunks[at] = nullptr;
    state->used_chunks[at] = 0;
  }
  state->recent.start(0x10000);
  state->foreign.clear();
  StackMemo::Searches miss;
  unwind::SlotLog log;
  for (uintptr_t pc = 1; pc < 5000; ++pc) {
    const unwind::Registers from{pc << 8, 0x2000, 0x3000};
    if (!state->foreign.find(from, 5, false, miss)) state->foreign.remember(from, 5, miss, 77, log);
    state->recent.remember({from.pc, from.sp, 5}, 77, nullptr, log);
  }
  state->walked.forget();
  for (uint32_t& node : state->walked_nodes) node = 1;
  state->walked_count = kMostFrames;
  give_state_back(state);
  _exit(take_state() == state ? 0 : 2);
}

TEST_F(ThreadStateTest, WhereAddressSpaceIsShortAllThatIsUsedIsMapped) {
  for (size_t left : {size_t{2} << 30, size_t{500} << 20})
    EXPECT_EXIT(use_where_space_is_short(g_tracker.writer, left), ::testing::ExitedWithCode(0), "") << left;
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
