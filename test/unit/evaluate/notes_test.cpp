// What a report says of itself: what was not seen, and whether it is complete.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "support/evaluated.h"

namespace unfreed::report {
namespace {

using ledger::Coverage;
using ledger::Kind;
using test::Evaluated;

class NotesTest : public ::testing::Test {
 protected:
  NotesTest() { input_.trigger = Trigger::exit; }

  /// The report's only note, or all of them in brackets.
  std::string note() {
    Evaluated report(builder_, input_);
    complete_ = report->complete;
    std::string all;
    for (std::string_view one : report->notes) all += "[" + std::string(one) + "]";
    return report->notes.size() == 1 ? all.substr(1, all.size() - 2) : all;
  }
  bool says(std::string_view text) { return note().find(text) != std::string::npos; }
  void set(uint32_t flags) { builder_.header().flags.fetch_or(flags); }
  void reconcile() { set(ledger::kHeaderFlagReconciled | ledger::kHeaderFlagThreadsListed); }
  void cover(Kind kind, Coverage coverage, std::string_view reason = {}) {
    builder_.header().coverage[static_cast<size_t>(kind)] = static_cast<uint8_t>(coverage);
    if (!reason.empty()) builder_.header().coverage_reason[static_cast<size_t>(kind)] = builder_.text(reason);
  }

  void untracked(std::string_view program, uint32_t count) {
    uint64_t index = 0;
    auto* record = builder_.writer().append<ledger::Untracked>(ledger::SectionId::untracked, index);
    ASSERT_TRUE(record);
    record->state = ledger::kUntrackedValid;
    record->count = count;
    program.copy(record->program, sizeof record->program - 1);
  }

  test::LedgerBuilder builder_;
  ReportInput input_;
  bool complete_ = false;
};

TEST_F(NotesTest, OfACompleteReportNothingIsSaid) {
  reconcile();
  EXPECT_EQ(note(), "");
  EXPECT_TRUE(complete_);
}

TEST_F(NotesTest, AKindThatWasNotWhollySeenIsNamedWithTheReason) {
  reconcile();
  cover(Kind::heap, Coverage::partial, "the program brings its own malloc");
  EXPECT_EQ(note(), "heap was only partly seen (the program brings its own malloc)");
  EXPECT_FALSE(complete_);
  cover(Kind::heap, Coverage::unavailable);
  EXPECT_TRUE(says("heap could not be tracked: this report has no figures for it"));
  EXPECT_FALSE(complete_);
}

TEST_F(NotesTest, EstimatesAreCompleteAndSaidToBeEstimates) {
  reconcile();
  cover(Kind::heap, Coverage::sampled);
  EXPECT_EQ(note(), "heap was sampled: its figures are estimates");
  EXPECT_TRUE(complete_);
}

TEST_F(NotesTest, WhatTheUserLeftOutIsNoNews) {
  cover(Kind::fd, Coverage::off);
  set(ledger::kHeaderFlagThreadsListed);
  EXPECT_EQ(note(), "") << "nor that descriptors, which nobody asked for, were not compared with the kernel's";
  EXPECT_TRUE(complete_);
}

TEST_F(NotesTest, WhatWasDroppedIsCounted) {
  reconcile();
  builder_.header().dropped[static_cast<size_t>(ledger::Dropped::sites_full)] = 3;
  EXPECT_EQ(note(), "3 acquisitions are counted in one overflow site: the table of call sites was full");
  EXPECT_FALSE(complete_);
}

TEST_F(NotesTest, DescriptorsThatTheKernelDidNotListAreTheCallsOwn) {
  set(ledger::kHeaderFlagThreadsListed);
  EXPECT_TRUE(note().starts_with("the kernel's list of open descriptors was not available"));
  EXPECT_FALSE(complete_);
  cover(Kind::fd, Coverage::unavailable);
  EXPECT_FALSE(says("list of open descriptors")) << "there are no figures to explain";
}

TEST_F(NotesTest, AfterAKillTheKernelsListIsAnOlderOne) {
  reconcile();
  input_.trigger = Trigger::post_mortem;
  EXPECT_EQ(note(), "descriptors were compared with the kernel's list while the process ran, but not at its end");
  EXPECT_FALSE(complete_);
  cover(Kind::fd, Coverage::off);
  EXPECT_EQ(note(), "");
}

TEST_F(NotesTest, ClosedDescriptorsOfWhichNoHookKnewAreCounted) {
  reconcile();
  builder_.kernel_fd(9, "/tmp/open");
  uint32_t site = builder_.site(Kind::fd, 1, builder_.stack({{builder_.module("/bin/program"), 0x100}}));
  builder_.table_fd(3, ledger::FdOrigin::acquired, site);
  EXPECT_EQ(note(), "1 descriptor was closed without a hooked function, and not counted");
  EXPECT_TRUE(complete_) << "the kernel's list made up for it";
  builder_.table_fd(4, ledger::FdOrigin::acquired, site);
  EXPECT_EQ(note(), "2 descriptors were closed without a hooked function, and not counted");
}

TEST_F(NotesTest, ASandboxIsToldFromOneThatWasAssumed) {
  set(ledger::kHeaderFlagReconciled);
  uint32_t site = builder_.site(Kind::thread, 3, builder_.stack({{builder_.module("/bin/program"), 0x100}}));
  builder_.thread(site, ledger::ThreadState::running);
  EXPECT_TRUE(says("the kernel's list of threads was not available"));
  set(ledger::kHeaderFlagSandboxed);
  EXPECT_TRUE(note().starts_with("the process restricted its system calls (seccomp)")) << "which says why: " << note();
  EXPECT_FALSE(complete_);
  set(ledger::kHeaderFlagMaybeSandboxed);
  EXPECT_TRUE(note().starts_with("the program's own code restricts system calls")) << note();
  EXPECT_FALSE(complete_);
}

TEST_F(NotesTest, AProcessThatASystemCallOfTheRuntimesEndedIsExplained) {
  cover(Kind::fd, Coverage::off);
  set(ledger::kHeaderFlagThreadsListed | ledger::kHeaderFlagAsking);
  EXPECT_EQ(note(), "") << "it lives";
  input_.trigger = Trigger::post_mortem;
  EXPECT_TRUE(note().starts_with("the process ended in a system call of unfreed's"));
  EXPECT_FALSE(complete_);
}

TEST_F(NotesTest, ALedgerWithoutAFileIsComplete) {
  reconcile();
  set(ledger::kHeaderFlagPrivate);
  EXPECT_TRUE(note().starts_with("the ledger could not be put into shared memory"));
  EXPECT_TRUE(complete_);
}

TEST_F(NotesTest, MuchMoreMemoryThanMallocEverReturnedIsNotMallocs) {
  constexpr uint64_t kMiB = 1 << 20;
  reconcile();
  uint32_t site = builder_.site(Kind::heap, 2, builder_.stack({{builder_.module("/bin/program"), 0x100}}));
  builder_.blocks(site, 10, 10, 100 * kMiB, 100 * kMiB);
  builder_.header().private_bytes = 214 * kMiB - 1;
  EXPECT_EQ(note(), "") << "64 MiB and half of malloc's may be tables and what malloc keeps";
  builder_.header().private_bytes = 214 * kMiB;
  EXPECT_TRUE(note().starts_with("214 MiB of private memory are in use, but malloc was seen to return 100 MiB in all"));
  EXPECT_TRUE(complete_);
  cover(Kind::heap, Coverage::off);
  EXPECT_EQ(note(), "");
}

TEST_F(NotesTest, ItIsSaidWhyGoroutinesAreMissing) {
  reconcile();
  builder_.header().no_goroutines = builder_.text("an unknown version of Go");
  EXPECT_EQ(note(), "goroutines are missing: an unknown version of Go");
}

TEST_F(NotesTest, UntrackedProgramsMakeARunIncompleteButNoProcess) {
  reconcile();
  const UntrackedProgram kPrograms[] = {
      {"/bin/allowed", "static", 5, true}, {"/bin/busybox", "static", 1, false}, {"/bin/other", "setuid", 1, false}};
  std::span<const UntrackedProgram> all = kPrograms;
  input_.untracked_of_run = all.first(1);
  input_.speaks_for_run = true;
  EXPECT_EQ(note(), "");
  EXPECT_TRUE(complete_);
  input_.untracked_of_run = all.first(2);
  EXPECT_EQ(note(), "1 program of this run was not tracked: /bin/busybox: static");
  EXPECT_FALSE(complete_);
  input_.untracked_of_run = all;
  EXPECT_EQ(note(), "2 programs of this run were not tracked, the first of them /bin/busybox: static");
  EXPECT_FALSE(complete_);
}

TEST_F(NotesTest, AProcesssOwnUntrackedProgramsAreForTheRunToJudge) {
  reconcile();
  untracked("/bin/busybox", 1);
  EXPECT_EQ(note(),
            "1 program that this process started was not tracked; see \"untracked\". Rules cover this process alone");
  EXPECT_TRUE(complete_);
  untracked("/bin/busybox", 2);
  EXPECT_TRUE(note().starts_with("3 programs that this process started were not tracked;")) << note();
  Settings settings;
  settings.allow_untracked = "busybox";
  input_.settings = &settings;
  EXPECT_EQ(note(), "") << "they may be";
}

}  // namespace
}  // namespace unfreed::report
