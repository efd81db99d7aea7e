// Threads from the call that creates them to the join or detach that lets go of them.
#include "track/threads.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <vector>

#include "support/tracked_process.h"

namespace unfreed::track {
namespace {

using ledger::Kind;
using ledger::SectionId;
using ledger::ThreadRecord;
using State = ledger::ThreadState;

/// A thread as the hooks create, join and detach it. It runs until it is told to end.
class Thread {
 public:
  explicit Thread(bool detached = false) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (detached) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    ThreadStart start;
    start.routine = [](void* argument) -> void* {
      auto& self = *static_cast<Thread*>(argument);
      prctl(PR_SET_NAME, "worker");
      self.tid_ = base::current_tid();
      while (!self.may_end_) sched_yield();
      return nullptr;
    };
    start.argument = this;
    birth_ = thread_creating(start, stack_bytes_of(attributes), detached, 1, unwind::caller_registers());
    int error = pthread_create(&handle_, &attributes, birth_.ticket ? thread_main : start.routine,
                               birth_.ticket ? birth_.ticket : start.argument);
    thread_created(birth_, error, handle_, 1, unwind::caller_registers());
    pthread_attr_destroy(&attributes);
    while (!tid_) sched_yield();
  }
  int tid() const { return tid_; }
  pthread_t handle() const { return handle_; }
  ThreadRecord& record() const {
    return test::TrackedProcess::the().record<ThreadRecord>(SectionId::threads, birth_.record);
  }
  State state() const { return static_cast<State>(record().state.load()); }
  void end() {
    may_end_ = true;
    while (state() == State::running) sched_yield();
  }
  void join() {
    may_end_ = true;
    uint64_t found = thread_lookup(handle_);
    pthread_join(handle_, nullptr);
    thread_joined(found);
  }
  void detach() {
    uint64_t found = thread_lookup(handle_);
    pthread_detach(handle_);
    thread_detached(found);
  }

 private:
  std::atomic<bool> may_end_{false};
  std::atomic<int> tid_{0};
  pthread_t handle_ = 0;
  ThreadBirth birth_;
};

class ThreadsTest : public ::testing::Test {
 protected:
  ~ThreadsTest() override { EXPECT_EQ(process_.held(Kind::thread), 0u); }
  static int64_t live_since(uint32_t serial) {
    LiveSince live;
    thread_live_since(serial, live);
    return live.total();
  }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

TEST_F(ThreadsTest, OneIsHeldUntilItIsJoined) {
  uint32_t mark = g_tracker.serial;
  Thread one;
  EXPECT_EQ(process_.held(Kind::thread), 1u);
  EXPECT_EQ(one.state(), State::running);
  EXPECT_EQ(one.record().tid, one.tid());
  EXPECT_EQ(one.record().creator_tid, base::current_tid());
  EXPECT_NE(one.record().site, 0u);
  EXPECT_NE(one.record().start_module, 0u);
  EXPECT_LT(one.record().stack_low, one.record().stack_high);
  EXPECT_EQ(live_since(mark), 1);
  EXPECT_EQ(live_since(g_tracker.serial), 0);
  one.end();
  EXPECT_EQ(one.state(), State::finished);
  EXPECT_STREQ(one.record().name, "worker");
  EXPECT_GE(one.record().finished_ns, one.record().started_ns);
  EXPECT_EQ(process_.held(Kind::thread), 1u) << "ended, and not joined";
  one.join();
  EXPECT_EQ(one.state(), State::free);
  EXPECT_EQ(process_.held(Kind::thread), 0u);
  EXPECT_EQ(live_since(mark), 0);
}

TEST_F(ThreadsTest, ADetachedOneIsHeldUntilItsEnd) {
  Thread detached(true), later;
  EXPECT_EQ(process_.held(Kind::thread), 2u);
  EXPECT_TRUE(detached.record().flags & ledger::kThreadDetached);
  detached.end();
  later.detach();
  EXPECT_EQ(later.state(), State::running);
  later.end();
  while (process_.held(Kind::thread)) sched_yield();
  EXPECT_EQ(detached.state(), State::free);
  EXPECT_EQ(later.state(), State::free);
}

TEST_F(ThreadsTest, OneThatHasEndedIsLetGoOfByDetachingIt) {
  Thread one;
  one.end();
  one.detach();
  EXPECT_EQ(one.state(), State::free);
}

TEST_F(ThreadsTest, RecordsAreUsedAgain) {
  { Thread().join(); }
  uint64_t records = process_.count(SectionId::threads);
  for (int round = 0; round < 5; ++round) Thread().join();
  EXPECT_EQ(process_.count(SectionId::threads), records);
}

TEST_F(ThreadsTest, ALetterOfAnEarlierThreadLetsGoOfNoLaterOne) {
  Thread one;
  uint64_t earlier = thread_lookup(one.handle());
  EXPECT_NE(earlier, 0u);
  one.join();
  thread_joined(earlier);
  EXPECT_EQ(process_.held(Kind::thread), 0u) << "a second time";
  Thread other;
  thread_joined(earlier);
  thread_detached(earlier);
  EXPECT_EQ(other.state(), State::running);
  EXPECT_EQ(other.record().flags, 0u);
  EXPECT_EQ(process_.held(Kind::thread), 1u);
  other.join();
}

TEST_F(ThreadsTest, OthersAreNotKnown) {
  EXPECT_EQ(thread_lookup(0), 0u);
  EXPECT_EQ(thread_lookup(0x12345678), 0u);
  EXPECT_FALSE(thread_ignore(0x12345678));
  thread_joined(0);
  thread_detached(0);
}

TEST_F(ThreadsTest, ManyAreToldApart) {
  std::vector<std::unique_ptr<Thread>> all;
  for (int i = 0; i < 20; ++i) all.push_back(std::make_unique<Thread>());
  for (const auto& one : all) {
    uint64_t found = thread_lookup(one->handle());
    ASSERT_NE(found, 0u);
    auto& record = process_.record<ThreadRecord>(SectionId::threads, static_cast<uint32_t>(found) - 1);
    EXPECT_EQ(record.tid, one->tid());
  }
  EXPECT_EQ(process_.held(Kind::thread), 20u);
  for (const auto& one : all) one->join();
}

TEST_F(ThreadsTest, TheProgramMayAskThatOneDoesNotCount) {
  uint32_t mark = g_tracker.serial;
  Thread one;
  EXPECT_TRUE(thread_ignore(one.handle()));
  EXPECT_EQ(process_.held(Kind::thread), 0u);
  EXPECT_TRUE(thread_ignore(one.handle()));
  EXPECT_EQ(process_.held(Kind::thread), 0u) << "a second time";
  EXPECT_EQ(live_since(mark), 0);
  one.join();
}

TEST_F(ThreadsTest, WhatIsCreatedInAPauseIsListedAndNotCounted) {
  std::unique_ptr<Thread> one;
  {
    test::Paused paused;
    one = std::make_unique<Thread>();
  }
  EXPECT_EQ(process_.held(Kind::thread), 0u);
  EXPECT_EQ(one->state(), State::running);
  EXPECT_TRUE(one->record().flags & ledger::kThreadIgnored);
  one->join();
  EXPECT_EQ(process_.held(Kind::thread), 0u);
}

TEST_F(ThreadsTest, ACreationThatFailsLeavesNothing) {
  uint64_t failures = process_.count(SectionId::failures), total = process_.totals(Kind::thread).acquired;
  for (int error : {EAGAIN, EINVAL}) {
    ThreadBirth birth = thread_creating({}, 0, false, 1, unwind::caller_registers());
    ASSERT_NE(birth.ticket, nullptr);
    thread_created(birth, error, 0, 1, unwind::caller_registers());
    EXPECT_EQ(process_.record<ThreadRecord>(SectionId::threads, birth.record).state,
              static_cast<uint32_t>(State::free));
  }
  EXPECT_EQ(process_.held(Kind::thread), 0u);
  EXPECT_EQ(process_.totals(Kind::thread).acquired, total) << "none was started";
  EXPECT_EQ(process_.count(SectionId::failures), failures + 1) << "only EAGAIN is a limit";
}

TEST_F(ThreadsTest, ItIsKnownWhetherThereAreOthers) {
  EXPECT_TRUE(is_only_thread());
  EXPECT_TRUE(is_only_known_thread());
  Thread one;
  EXPECT_FALSE(is_only_thread());
  EXPECT_FALSE(is_only_known_thread());
  one.join();
  EXPECT_TRUE(is_only_known_thread());
}

TEST_F(ThreadsTest, WithoutTrackingNothingIsRecorded) {
  uint64_t records = process_.count(SectionId::threads);
  test::Untracked untracked;
  ThreadBirth birth = thread_creating({}, 0, false, 1, unwind::caller_registers());
  EXPECT_EQ(birth.ticket, nullptr);
  thread_created(birth, 0, 0x1000, 1, unwind::caller_registers());
  EXPECT_EQ(thread_lookup(pthread_self()), 0u);
  EXPECT_FALSE(is_only_known_thread());
  EXPECT_EQ(process_.count(SectionId::threads), records);
}

TEST_F(ThreadsTest, OneThatIsNotTrackedIsNotCounted) {
  auto main_handle = process_.record<ThreadRecord>(SectionId::threads, 0).handle.load();
  thread_created({}, 0, 0x2000, 1, unwind::caller_registers());
  thread_created({}, EPERM, 0, 1, unwind::caller_registers());
  EXPECT_EQ(process_.held(Kind::thread), 0u);
  EXPECT_EQ(process_.record<ThreadRecord>(SectionId::threads, 0).handle, main_handle);
}

}  // namespace
}  // namespace unfreed::track
