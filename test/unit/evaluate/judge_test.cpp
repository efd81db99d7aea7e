// When a rule is broken, and when it cannot be checked.
#include <gtest/gtest.h>

#include <string>

#include "evaluate/evaluate.h"

namespace unfreed::report {
namespace {

class JudgeTest : public ::testing::Test {
 protected:
  JudgeTest() {
    report_.reconciled = true;
    for (size_t kind = 0; kind < ledger::kKindCount; ++kind) report_.coverage[kind] = ledger::Coverage::exact;
    for (auto& totals : report_.totals) totals.emplace();
  }
  Totals& totals(Subject subject) { return *report_.totals[index_of(subject)]; }
  RuleOutcome outcome(std::string_view text) {
    ParseError error;
    EXPECT_TRUE(parse_rules(text, rules_, error)) << text;
    return evaluate_rule(rules_.rules[0], report_);
  }
  /// Why a rule was not checked; "" if it was.
  std::string reason(std::string_view text) {
    RuleOutcome result = outcome(text);
    EXPECT_EQ(result.is_checked(), result.unchecked.empty()) << text;
    EXPECT_FALSE(result.broken) << text;
    return std::string(result.unchecked);
  }

  Report report_;
  RuleSet rules_;
};

TEST_F(JudgeTest, WhatWasNotSeenPassesNoRule) {
  EXPECT_EQ(reason("fd>0"), "");
  auto& coverage = report_.coverage[static_cast<size_t>(ledger::Kind::heap)];
  coverage = ledger::Coverage::off;
  EXPECT_EQ(reason("heap>0"), "this kind was not tracked");
  coverage = ledger::Coverage::unavailable;
  EXPECT_EQ(reason("heap>0"), "this kind could not be tracked in this process");
  coverage = ledger::Coverage::exact;
  report_.totals[index_of(Subject::heap)].reset();
  EXPECT_EQ(reason("heap>0"), "this kind could not be tracked in this process");
}

TEST_F(JudgeTest, WhatWasPartlySeenIsEnoughToBreakARule) {
  report_.coverage[static_cast<size_t>(ledger::Kind::fd)] = ledger::Coverage::partial;
  totals(Subject::fd)[Counter::live] = 3;
  EXPECT_EQ(reason("fd>3"), "this kind was only partly seen");
  RuleOutcome broken = outcome("fd>2");
  EXPECT_TRUE(broken.broken);
  EXPECT_EQ(broken.value, 3u);
  report_.worst_site[index_of(Subject::fd)][Counter::live] = 2;
  EXPECT_TRUE(outcome("site.fd>1").broken);
  EXPECT_EQ(reason("site.fd>2"), "this kind was only partly seen");
  report_.totals[index_of(Subject::fd)].reset();
  EXPECT_EQ(reason("fd>2"), "this kind could not be tracked in this process");
}

TEST_F(JudgeTest, ChildrenThatCouldNotBeAskedAboutPassNoRuleOfTheirs) {
  totals(Subject::child)[Counter::unknown] = 1;
  const std::string kReason = "whether its children had ended could not be read from the kernel";
  EXPECT_EQ(reason("child>0"), kReason);
  EXPECT_EQ(reason("child.running>0"), kReason);
  EXPECT_EQ(reason("child.total>0"), "") << "how many were started is known";
  totals(Subject::thread)[Counter::unknown] = 1;
  EXPECT_EQ(reason("thread>0"), "");
}

TEST_F(JudgeTest, UnattributedDescriptorsAreKnownByTheKernelsListAlone) {
  report_.reconciled = false;
  EXPECT_EQ(reason("fd.unattributed>0"), "the kernel's list of open descriptors was not available");
  EXPECT_EQ(reason("fd>0"), "");
  EXPECT_EQ(reason("thread.unattributed>0"), "");
}

TEST_F(JudgeTest, ADescriptorMayBeOpenThatTheKernelWasNotAskedAbout) {
  report_.trigger = Trigger::post_mortem;
  report_.coverage[static_cast<size_t>(ledger::Kind::fd)] = ledger::Coverage::unconfirmed;
  totals(Subject::fd)[Counter::live] = 3;
  report_.process.signal = 9;
  EXPECT_EQ(reason("fd>3"), "") << "what is killed ends by no system call of its own";
  report_.process.signal.reset();
  EXPECT_EQ(reason("fd>3"), "") << "who knows";
  report_.process.exit_status = 0;
  EXPECT_EQ(reason("fd>3"), "the process ended past libc, so the kernel's list of open descriptors was not read");
  EXPECT_EQ(reason("thread>0"), "");
  EXPECT_EQ(reason("heap.lost>0"), "the process ended too suddenly for a search for lost objects");
  EXPECT_TRUE(outcome("fd>2").broken);
}

TEST_F(JudgeTest, ASeriesHasOnlyCallSitesThatHoldSomething) {
  report_.watch.emplace().looks = 100;
  report_.trigger = Trigger::snapshot;
  const std::string kReason = "a series has only call sites that hold something";
  EXPECT_EQ(reason("site.fd.total>0"), kReason);
  EXPECT_EQ(reason("site.fd.peak>0"), kReason);
  EXPECT_EQ(reason("site.heap.total_bytes>0"), kReason);
  EXPECT_EQ(reason("site.fd>0"), "");
  EXPECT_EQ(reason("fd.total>0"), "");
  report_.trigger = Trigger::exit;
  EXPECT_EQ(reason("site.fd.total>0"), "") << "the report of the process's end has them all";
  report_.trigger = Trigger::snapshot;
  report_.watch.reset();
  EXPECT_EQ(reason("site.fd.total>0"), "");
}

TEST_F(JudgeTest, GrowthTakesEnoughLooks) {
  EXPECT_EQ(reason("fd.growth>0/d"), "its growth was not recorded (unfreed watch records it)");
  report_.watch.emplace().looks = kFewestLooks - 1;
  EXPECT_EQ(reason("fd.growth>0/d"), "there were too few looks at the process to tell how it grows");
  report_.watch->looks = kFewestLooks;
  EXPECT_EQ(reason("fd.growth>0/d"), "");
}

TEST_F(JudgeTest, LossesAreKnownWhereTheyWereSearchedFor) {
  for (const char* rule : {"heap.lost>0", "heap.lost_bytes>0", "heap.indirectly_lost>0", "heap.indirectly_lost_bytes>0",
                           "heap.possibly_lost>0", "heap.possibly_lost_bytes>0", "fd.lost>0"}) {
    report_.grading.reset();
    report_.process.signal.reset();
    EXPECT_EQ(reason(rule),
              "lost objects were not searched for: UNFREED_GRADE is off, or the process ended without exit()");
    report_.process.signal = 9;
    EXPECT_EQ(reason(rule), "the process ended too suddenly for a search for lost objects");
    report_.grading = {GradingState::refused, "it was not allowed", 0};
    EXPECT_EQ(reason(rule), "it was not allowed");
    report_.grading = {GradingState::done, {}, 0};
    EXPECT_EQ(reason(rule), "");
  }
  report_.grading.reset();
  EXPECT_EQ(reason("heap>0"), "");
}

TEST_F(JudgeTest, AProcessWasKilledWhereItsEndWasNotItsOwn) {
  EXPECT_FALSE(was_killed(report_));
  report_.trigger = Trigger::post_mortem;
  EXPECT_TRUE(was_killed(report_)) << "its end was not seen";
  report_.process.exit_status = 0;
  EXPECT_FALSE(was_killed(report_));
  report_.process.signal = 15;
  EXPECT_TRUE(was_killed(report_));
  report_.trigger = Trigger::exit;
  EXPECT_TRUE(was_killed(report_));
}

TEST_F(JudgeTest, ARuleThatIsMissingWasNotChecked) {
  EXPECT_FALSE(is_unchecked(report_));
  report_.rules_asked = 1;
  EXPECT_TRUE(is_unchecked(report_)) << "there was no memory for its outcome";
  base::Arena arena;
  RuleOutcome* one = report_.rules.add(arena);
  one->value = 1;
  EXPECT_FALSE(is_unchecked(report_));
  EXPECT_FALSE(is_broken(report_));
  one->broken = true;
  EXPECT_TRUE(is_broken(report_));
  one->value.reset();
  EXPECT_TRUE(is_unchecked(report_));
}

TEST_F(JudgeTest, WhatIsHeldForGoodIsNoNews) {
  EXPECT_FALSE(holds_something(report_));
  totals(Subject::heap)[Counter::live] = 5;
  totals(Subject::library)[Counter::live] = 1;
  EXPECT_FALSE(holds_something(report_)) << "memory and libraries are kept to the end by most programs";
  for (Subject subject : {Subject::fd, Subject::thread, Subject::child, Subject::timer}) {
    totals(subject)[Counter::live] = 2;
    EXPECT_TRUE(holds_something(report_));
    totals(subject)[Counter::suppressed] = 2;
    EXPECT_FALSE(holds_something(report_));
  }
}

}  // namespace
}  // namespace unfreed::report
