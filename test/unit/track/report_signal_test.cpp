// The signal that requests a report: the one that users send, or another where the program uses that.
#include "track/report_signal.h"

#include <gtest/gtest.h>

#include "support/tracked_process.h"

namespace {
/// As if another thread had set an action for the signal in between: right before a new one is set for the first time.
int g_taken_meanwhile;
int g_changes;  ///< how often an action was set
}  // namespace

extern "C" int __sigaction(int signal, const struct sigaction* action, struct sigaction* before) noexcept {
  if (action) ++g_changes;
  if (action && signal == g_taken_meanwhile) {
    g_taken_meanwhile = 0;
    ::signal(signal, SIG_IGN);
  }
  return sigaction(signal, action, before);
}

namespace unfreed::track {
namespace {

void write_report(int, siginfo_t*, void*) {}
void of_program(int) {}
void of_program_too(int, siginfo_t*, void*) {}

constexpr int kFirst = 44, kLast = 58;

struct sigaction action_of(int signal) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action;
}
bool is_ours(int signal) { return action_of(signal).sa_sigaction == write_report; }

class ReportSignalTest : public ::testing::Test {
 protected:
  ~ReportSignalTest() override {
    process_.header().flags |= ledger::kHeaderFlagSandboxed;  // no other is taken
    signal_taken(announced());
    EXPECT_EQ(announced(), 0);
    for (int signal = kFirst - 1; signal <= kLast + 1; ++signal) ::signal(signal, SIG_DFL);
    ::signal(SIGUSR2, SIG_DFL);
    process_.header().flags &= ~ledger::kHeaderFlagSandboxed;
  }
  int announced() { return process_.header().report_signal; }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
};

TEST_F(ReportSignalTest, OneThatTheProgramLeavesAtItsDefaultIsTaken) {
  take_report_signal(SIGUSR2, write_report);
  EXPECT_EQ(announced(), SIGUSR2);
  EXPECT_FALSE(is_substitute(SIGUSR2));
  struct sigaction action = action_of(SIGUSR2);
  EXPECT_EQ(action.sa_sigaction, write_report);
  EXPECT_EQ(action.sa_flags & (SA_SIGINFO | SA_RESTART | SA_ONSTACK), SA_SIGINFO | SA_RESTART | SA_ONSTACK);
  EXPECT_EQ(sigismember(&action.sa_mask, SIGTERM), 1);
  for (int signal = kFirst; signal <= kLast; ++signal) EXPECT_FALSE(is_ours(signal));
  EXPECT_TRUE(is_report_handler(reinterpret_cast<const void*>(write_report)));
  EXPECT_FALSE(is_report_handler(reinterpret_cast<const void*>(of_program)));
  EXPECT_FALSE(is_report_handler(nullptr));
}

TEST_F(ReportSignalTest, OneThatTheProgramUsesIsLeftToIt) {
  struct sigaction with_details {};
  with_details.sa_flags = SA_SIGINFO;
  with_details.sa_sigaction = of_program_too;
  for (int used = 0; used < 3; ++used) {
    if (used == 2)
      sigaction(SIGUSR2, &with_details, nullptr);
    else
      signal(SIGUSR2, used ? of_program : SIG_IGN);
    auto* before = action_of(SIGUSR2).sa_sigaction;
    take_report_signal(SIGUSR2, write_report);
    EXPECT_EQ(action_of(SIGUSR2).sa_sigaction, before);
    EXPECT_EQ(announced(), kFirst + used);
    EXPECT_TRUE(is_ours(kFirst + used));
    EXPECT_TRUE(is_substitute(kFirst + used));
  }
}

TEST_F(ReportSignalTest, OneThatTheProgramUsesIsNotTakenForAMomentEither) {
  signal(SIGUSR2, of_program);
  for (int signal = kFirst; signal <= kLast; ++signal) ::signal(signal, SIG_IGN);
  g_changes = 0;
  take_report_signal(SIGUSR2, write_report);
  EXPECT_EQ(g_changes, 0);
  EXPECT_EQ(announced(), 0);
}

TEST_F(ReportSignalTest, OneThatAnotherThreadBeginsToUseMeanwhileIsGivenBackToIt) {
  g_taken_meanwhile = SIGUSR2;
  take_report_signal(SIGUSR2, write_report);
  EXPECT_EQ(g_taken_meanwhile, 0);
  EXPECT_EQ(action_of(SIGUSR2).sa_handler, SIG_IGN);
  EXPECT_EQ(announced(), kFirst);
  EXPECT_TRUE(is_ours(kFirst));
}

TEST_F(ReportSignalTest, OneThatCannotBeSetIsReplaced) {
  for (int signal : {0, -1, SIGKILL, 65}) {
    take_report_signal(signal, write_report);
    EXPECT_TRUE(announced() >= kFirst && announced() <= kLast) << signal;
    EXPECT_TRUE(is_ours(announced()));
  }
}

TEST_F(ReportSignalTest, ItIsGivenBackUnlessTheProgramUsesItByNow) {
  take_report_signal(SIGUSR2, write_report);
  give_report_signal_back();
  EXPECT_EQ(announced(), 0);
  EXPECT_EQ(action_of(SIGUSR2).sa_handler, SIG_DFL);
  give_report_signal_back();  // a second time
  EXPECT_EQ(announced(), 0);
  struct sigaction with_details {};
  with_details.sa_flags = SA_SIGINFO;
  with_details.sa_sigaction = of_program_too;
  for (bool details : {false, true}) {
    take_report_signal(SIGUSR2, write_report);
    if (details)
      sigaction(SIGUSR2, &with_details, nullptr);
    else
      signal(SIGUSR2, of_program);
    auto* its_own = action_of(SIGUSR2).sa_sigaction;
    give_report_signal_back();
    EXPECT_EQ(announced(), 0);
    EXPECT_EQ(action_of(SIGUSR2).sa_sigaction, its_own);
    signal(SIGUSR2, SIG_DFL);
  }
}

TEST_F(ReportSignalTest, AForkChildWithoutALedgerChangesNothingInItsParents) {
  take_report_signal(SIGUSR2, write_report);
  signal(SIGUSR2, of_program);
  g_fork_page.alive = 0;
  signal_taken(SIGUSR2);
  g_fork_page.alive = 1;
  EXPECT_EQ(announced(), SIGUSR2);
  EXPECT_TRUE(is_ours(kFirst));
  enter_report_signal();
  EXPECT_EQ(announced(), kFirst);
}

TEST_F(ReportSignalTest, WhereTheProgramUsesAllThereIsNone) {
  signal(SIGUSR2, SIG_IGN);
  for (int signal = kFirst; signal < kLast; ++signal) ::signal(signal, of_program);
  take_report_signal(SIGUSR2, write_report);
  EXPECT_EQ(announced(), kLast);
  signal(kLast, SIG_IGN);
  signal_taken(kLast);
  EXPECT_EQ(announced(), 0);
  for (int signal : {kFirst - 1, kLast + 1}) EXPECT_FALSE(is_ours(signal));
}

TEST_F(ReportSignalTest, InASandboxNoOtherIsTaken) {
  process_.header().flags |= ledger::kHeaderFlagSandboxed;
  signal(SIGUSR2, SIG_IGN);
  take_report_signal(SIGUSR2, write_report);
  EXPECT_EQ(announced(), 0);
  EXPECT_FALSE(is_ours(kFirst));
}

TEST_F(ReportSignalTest, OneThatCouldNotBeSetIsNotAnnounced) {
  process_.header().flags |= ledger::kHeaderFlagSandboxed;
  take_report_signal(SIGKILL, write_report);
  EXPECT_EQ(announced(), 0);
}

TEST_F(ReportSignalTest, WithoutALedgerItIsTakenAllTheSame) {
  ledger::Writer writer = g_tracker.writer;
  g_tracker.writer = {};
  take_report_signal(SIGUSR2, write_report);
  g_tracker.writer = writer;
  EXPECT_TRUE(is_ours(SIGUSR2));
  enter_report_signal();
  EXPECT_EQ(announced(), SIGUSR2);
}

TEST_F(ReportSignalTest, OneThatTheProgramBeginsToUseIsReplaced) {
  take_report_signal(SIGUSR2, write_report);
  signal(SIGUSR2, of_program);
  signal_taken(SIGUSR1);
  signal_taken(0);
  EXPECT_EQ(announced(), SIGUSR2);
  enter_vfork_child();
  t_local.lender_tid = 1;
  signal_taken(SIGUSR2);
  EXPECT_EQ(announced(), SIGUSR2) << "it is a vfork child that has done it";
  t_local.lender_tid = base::current_tid();
  back_from_vfork_child();
  signal_taken(SIGUSR2);
  EXPECT_EQ(announced(), kFirst);
  EXPECT_TRUE(is_ours(kFirst));
  signal(kFirst, of_program);
  signal_taken(kFirst);
  EXPECT_EQ(announced(), kFirst + 1);
  process_.header().report_signal = 0;
  enter_report_signal();
  EXPECT_EQ(announced(), kFirst + 1);
}

}  // namespace
}  // namespace unfreed::track
