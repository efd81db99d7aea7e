// Children from the call that starts them to the wait that reaps them.
#include "track/children.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <vector>

#include "support/tracked_process.h"

namespace unfreed::track {
namespace {

using ledger::ChildRecord;
using ledger::Kind;
using ledger::SectionId;

class ChildrenTest : public ::testing::Test {
 protected:
  ~ChildrenTest() override {
    for (pid_t pid : started()) child_reaped(pid);
    EXPECT_EQ(process_.held(Kind::child), 0u);
  }
  static void start(pid_t pid) { child_started(child_starting(), pid, 1, unwind::caller_registers()); }
  std::vector<pid_t> started() {
    std::vector<pid_t> pids;
    for (uint64_t at = 0; at < process_.count(SectionId::children); ++at) {
      auto& record = process_.record<ChildRecord>(SectionId::children, at);
      if (record.state == static_cast<uint32_t>(ledger::ChildState::started)) pids.push_back(record.pid);
    }
    std::sort(pids.begin(), pids.end());
    return pids;
  }
  int64_t live_since(uint32_t serial) {
    LiveSince live;
    child_live_since(serial, live);
    return live.total();
  }
  using Pids = std::vector<pid_t>;

  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

// No process has such numbers.
constexpr pid_t kOne = 0x7000'0001, kTwo = 0x7000'0002;

TEST_F(ChildrenTest, OneIsHeldUntilItIsReaped) {
  start(kOne);
  EXPECT_EQ(started(), (Pids{kOne}));
  EXPECT_EQ(process_.held(Kind::child), 1u);
  auto& record = process_.record<ChildRecord>(SectionId::children, 0);
  EXPECT_EQ(record.creator_tid, base::current_tid());
  EXPECT_NE(record.site, 0u);
  EXPECT_NE(record.started_ns, 0u);
  child_reaped(kTwo);
  EXPECT_EQ(process_.held(Kind::child), 1u);
  child_reaped(kOne);
  EXPECT_EQ(started(), Pids());
  EXPECT_EQ(process_.held(Kind::child), 0u);
}

TEST_F(ChildrenTest, OfTwoWithOneNumberTheOlderIsReapedFirst) {
  start(kOne);
  uint32_t mark = g_tracker.serial;
  start(kOne);
  child_reaped(kOne);
  EXPECT_EQ(started(), (Pids{kOne}));
  EXPECT_EQ(live_since(mark), 1) << "the younger is left";
}

TEST_F(ChildrenTest, OneThatIsReapedBeforeItsStartHasReturnedIsHeldNoMore) {
  ChildStart start = child_starting();
  child_reaped(kOne);  // by another thread
  child_started(start, kOne, 1, unwind::caller_registers());
  EXPECT_EQ(started(), Pids());
  EXPECT_EQ(process_.held(Kind::child), 0u);
  child_started(child_starting(), kOne, 1, unwind::caller_registers());
  EXPECT_EQ(started(), (Pids{kOne})) << "a later one of that number";
}

TEST_F(ChildrenTest, AWaitThatCameBeforeTheStartWasOfAnother) {
  child_reaped(kOne);
  start(kOne);
  EXPECT_EQ(started(), (Pids{kOne}));
}

TEST_F(ChildrenTest, RecordsAreUsedAgain) {
  for (pid_t pid : {kOne, kTwo}) start(pid);
  uint64_t records = process_.count(SectionId::children);
  for (int round = 0; round < 5; ++round) {
    for (pid_t pid : {kOne, kTwo}) child_reaped(pid);
    for (pid_t pid : {kOne, kTwo}) start(pid);
  }
  EXPECT_EQ(process_.count(SectionId::children), records);
  EXPECT_EQ(process_.held(Kind::child), 2u);
}

TEST_F(ChildrenTest, NumbersThatShareABucketAreToldApart) {
  for (int i = 0; i < 4; ++i) start(kOne + 1024 * i);
  child_reaped(kOne + 2048);
  EXPECT_EQ(started(), (Pids{kOne, kOne + 1024, kOne + 3072}));
  child_reaped(kOne);
  child_reaped(kOne + 3072);
  EXPECT_EQ(started(), (Pids{kOne + 1024}));
}

TEST_F(ChildrenTest, OfManyThoseThatTheKernelDoesNotKnowAreRemoved) {
  pid_t real = fork();
  if (real == 0) {
    pause();
    _exit(0);
  }
  start(real);
  for (int i = 0; i < 1500; ++i) start(kOne + i);
  std::vector<pid_t> left = started();
  EXPECT_LT(left.size(), 1100u) << "SIGCHLD is ignored, say";
  EXPECT_EQ(left.front(), real) << "it has the lowest number";
  EXPECT_EQ(process_.held(Kind::child), left.size());
  kill(real, SIGKILL);
  waitpid(real, nullptr, 0);
}

TEST_F(ChildrenTest, WhatIsStartedInAPauseIsListedAndNotCounted) {
  {
    test::Paused paused;
    start(kOne);
  }
  EXPECT_EQ(started(), (Pids{kOne}));
  EXPECT_EQ(process_.held(Kind::child), 0u);
  EXPECT_EQ(live_since(0), 0);
  {
    test::Paused paused;
    ChildStart start = child_starting();
    child_reaped(kTwo);
    child_started(start, kTwo, 1, unwind::caller_registers());
  }
  EXPECT_EQ(process_.held(Kind::child), 0u);
}

TEST_F(ChildrenTest, AStartThatFailsForALimitIsRecorded) {
  uint64_t before = process_.count(SectionId::failures);
  auto fail = [](int error) {
    errno = error;
    child_started(child_starting(), -1, 1, unwind::caller_registers());
    EXPECT_EQ(errno, error);
  };
  fail(ENOENT);
  EXPECT_EQ(process_.count(SectionId::failures), before);
  fail(EAGAIN);
  fail(ENOMEM);
  EXPECT_EQ(process_.count(SectionId::failures), before + 2);
  EXPECT_EQ(started(), Pids());
  errno = EAGAIN;
  child_started(child_starting(), 0, 1, unwind::caller_registers());
  EXPECT_EQ(started(), Pids()) << "there is no child to track";
  EXPECT_EQ(process_.count(SectionId::failures), before + 2);
}

TEST_F(ChildrenTest, WithoutTrackingNothingIsRecorded) {
  start(kOne);
  {
    test::Untracked untracked;
    EXPECT_EQ(child_starting().number, 0u);
    start(kTwo);
    child_reaped(kOne);
  }
  child_started({}, kTwo, 1, unwind::caller_registers());
  EXPECT_EQ(started(), (Pids{kOne}));
}

}  // namespace
}  // namespace unfreed::track
