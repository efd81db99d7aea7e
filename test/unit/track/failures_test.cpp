// Calls that failed because a limit was reached.
#include "track/failures.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

#include "support/tracked_process.h"
#include "track/counters.h"

namespace unfreed::track {
namespace {

using ledger::Failure;
using ledger::Kind;
using ledger::SectionId;

std::vector<uint32_t> g_handled;

/// Each call of it is a call site of its own.
[[gnu::noinline]] void fail_by(int error, Kind kind = Kind::fd, uint16_t hook = 1) {
  note_failure(kind, hook, error, unwind::caller_registers());
}

class FailuresTest : public ::testing::Test {
 protected:
  FailuresTest() : first_(process_.count(SectionId::failures)) {
    g_handled.clear();
    reset_failures_after_fork();
    set_exhaustion_handler([](uint32_t failure) { g_handled.push_back(failure); });
  }
  ~FailuresTest() override {
    set_exhaustion_handler(nullptr);
    set_live(0);
    totals_of(Kind::heap).live = 0;
  }
  uint64_t noted() { return process_.count(SectionId::failures) - first_; }
  Failure& at(uint64_t index) { return process_.record<Failure>(SectionId::failures, first_ + index); }
  void set_live(uint64_t live) { totals_of(Kind::fd).live = live; }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
  uint64_t first_;
};

TEST_F(FailuresTest, CallsOfOneStackAreCountedAndTheFirstIsDescribed) {
  set_live(40);
  for (int i = 0; i < 3; ++i) {
    fail_by(EMFILE);
    set_live(50);
  }
  ASSERT_EQ(noted(), 1u);
  EXPECT_EQ(at(0).count, 3u);
  EXPECT_EQ(at(0).live_then, 40u);
  EXPECT_EQ(at(0).error, EMFILE);
  EXPECT_EQ(at(0).hook, 1);
  EXPECT_EQ(at(0).kind, static_cast<uint8_t>(Kind::fd));
  EXPECT_NE(at(0).node, 0u);
  EXPECT_NE(at(0).first_ns, 0u);
}

TEST_F(FailuresTest, StacksErrorsAndFunctionsAreToldApart) {
  auto fail_here = [](int error, uint16_t hook) { fail_by(error, Kind::fd, hook); };
  fail_here(EMFILE, 1);
  fail_here(ENFILE, 1);
  fail_here(EMFILE, 2);
  fail_by(EMFILE);
  EXPECT_EQ(noted(), 4u);
}

TEST_F(FailuresTest, TheFirstOfAllIsHandledTheOthersOfTheNextSecondsAreNot) {
  fail_by(ENOMEM, Kind::heap);
  ASSERT_EQ(g_handled.size(), 1u);
  EXPECT_EQ(g_handled[0], first_);
  fail_by(EMFILE);
  fail_by(EAGAIN, Kind::thread);
  EXPECT_EQ(g_handled.size(), 1u);
  EXPECT_EQ(noted(), 3u) << "they are recorded all the same";
}

TEST_F(FailuresTest, AKindIsQuietUntilATenthIsReleased) {
  set_live(100);
  fail_by(EMFILE);
  ASSERT_EQ(g_handled.size(), 1u);
  note_live_count(Kind::fd, 90);
  EXPECT_NE(g_quiet_until_below[static_cast<size_t>(Kind::fd)].load(), 0u);
  note_live_count(Kind::thread, 1);
  EXPECT_NE(g_quiet_until_below[static_cast<size_t>(Kind::fd)].load(), 0u) << "that is another kind";
  note_live_count(Kind::fd, 89);
  EXPECT_EQ(g_quiet_until_below[static_cast<size_t>(Kind::fd)].load(), 0u);
}

TEST_F(FailuresTest, MemoryIsNeverQuiet) {
  totals_of(Kind::heap).live = 100;
  fail_by(ENOMEM, Kind::heap);
  EXPECT_EQ(g_quiet_until_below[static_cast<size_t>(Kind::heap)].load(), 0u);
}

TEST_F(FailuresTest, AForkChildsFirstFailureIsHandled) {
  fail_by(EMFILE);
  fail_by(EMFILE);
  ASSERT_EQ(g_handled.size(), 1u);
  reset_failures_after_fork();
  fail_by(EMFILE);
  EXPECT_EQ(g_handled.size(), 2u);
}

}  // namespace
}  // namespace unfreed::track
