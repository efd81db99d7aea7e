// Goroutines in groups, with what they hold.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/evaluated.h"

namespace unfreed::report {
namespace {

using ledger::FdOrigin;
using ledger::GoroutineRecord;
using ledger::GoroutineState;
using ledger::Kind;

class GoroutinesTest : public ::testing::Test {
 protected:
  /// The go statement of main.serve, or of another function.
  uint32_t started_at(uint64_t offset = 10) { return builder_.stack({{module_, offset}}); }
  uint32_t waits_at(uint64_t offset = 20) { return builder_.stack({{module_, offset}, {module_, 2}}); }
  GoroutineRecord& add(uint64_t id, uint32_t created, uint32_t node, GoroutineState state = GoroutineState::waiting) {
    uint64_t index = 0;
    auto* record = builder_.writer().append<GoroutineRecord>(ledger::SectionId::goroutines, index);
    if (!record) throw std::bad_alloc();
    record->id = id;
    record->created_node = created;
    record->node = node;
    record->state = static_cast<uint8_t>(state);
    return *record;
  }
  /// So many descriptors that a goroutine has acquired; the last is the first to have been.
  void hold(uint64_t goroutine, uint32_t count, uint32_t site = 0) {
    for (uint32_t i = 0; i < count; ++i) {
      uint32_t number = next_fd_++;
      builder_.open_fd(number, FdOrigin::acquired, site ? site : site_, "/tmp/x");
      auto* record = builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, number);
      record->flags = ledger::kFdGoroutine;
      record->owner = goroutine;
    }
  }
  static std::vector<uint64_t> ids(const GoroutineGroup& group) {
    std::vector<uint64_t> result;
    for (const Goroutine& one : group.goroutines) result.push_back(one.goroutine);
    return result;
  }
  using Ids = std::vector<uint64_t>;

  test::LedgerBuilder builder_;
  uint32_t module_ = builder_.module("/usr/bin/program", ledger::kModuleMain);
  uint32_t site_ = builder_.site(Kind::fd, 0, builder_.stack({{module_, 104}, {module_, 2}}));
  uint32_t next_fd_ = 3;
};

TEST_F(GoroutinesTest, ThoseThatOneStatementStartedAndThatWaitAtOnePlaceAreAGroup) {
  for (uint64_t id : {7, 8}) add(id, started_at(), waits_at());
  add(9, started_at(11), waits_at());
  add(10, started_at(), waits_at(21));
  add(11, started_at(), waits_at(), GoroutineState::syscall);
  add(12, started_at(), waits_at()).wait_reason = builder_.text("select");
  test::Evaluated report(builder_);
  ASSERT_EQ(report->goroutines.size(), 5u);
  EXPECT_EQ(report->goroutines[0].count, 2u) << "the largest group comes first";
  for (size_t at = 1; at < 5; ++at) EXPECT_EQ(report->goroutines[at].count, 1u);
  EXPECT_EQ(report->goroutines_omitted, 0u);
}

TEST_F(GoroutinesTest, GroupsThatHoldMostComeFirst) {
  for (uint64_t id : {1, 2, 3}) add(id + 10, started_at(), waits_at());
  for (uint64_t id : {1, 2}) add(id + 20, started_at(), waits_at(21));
  add(31, started_at(), waits_at(22));
  hold(31, 2);
  hold(21, 1);
  test::Evaluated report(builder_);
  ASSERT_EQ(report->goroutines.size(), 3u);
  EXPECT_EQ(ids(report->goroutines[0]), (Ids{31}));
  EXPECT_EQ(report->goroutines[0].fd, 2u);
  EXPECT_EQ(ids(report->goroutines[1]), (Ids{21, 22}));
  EXPECT_EQ(report->goroutines[1].fd, 1u);
  EXPECT_EQ(report->goroutines[2].count, 3u);
}

TEST_F(GoroutinesTest, InAGroupThoseThatHoldMostThenThatWaitLongest) {
  add(5, started_at(), waits_at()).waiting_since_ns = 500;
  add(6, started_at(), waits_at()).waiting_since_ns = 400;
  add(7, started_at(), waits_at());  // not known: since before the first look
  add(8, started_at(), waits_at());
  add(9, started_at(), waits_at()).waiting_since_ns = 300;
  hold(8, 1);
  hold(6, 2);
  test::Evaluated report(builder_);
  ASSERT_EQ(report->goroutines.size(), 1u);
  EXPECT_EQ(ids(report->goroutines[0]), (Ids{6, 8, 9, 5, 7}));
  EXPECT_EQ(report->goroutines[0].waiting_ns, 1'000'001'000 - 300);
  EXPECT_EQ(report->goroutines[0].goroutines[0].waiting_ns, 1'000'001'000 - 400);
  EXPECT_FALSE(report->goroutines[0].goroutines[1].waiting_ns);
}

TEST_F(GoroutinesTest, WhatItAcquiredAndStillHoldsIsAGoroutines) {
  add(7, started_at(), waits_at()).creator = 1;
  add(8, started_at(), waits_at());
  hold(7, 2);
  hold(6, 1);  // of one that has ended
  builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, 4)->acquired_ns = 1'000;
  hold(8, 1);
  builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, next_fd_ - 1)->flags = 0;  // not by a goroutine
  test::Evaluated report(builder_);
  ASSERT_EQ(report->goroutines.size(), 1u);
  const Goroutine& one = report->goroutines[0].goroutines[0];
  EXPECT_EQ(one.goroutine, 7u);
  EXPECT_EQ(one.created_by, 1u);
  EXPECT_EQ(one.fd, 2u);
  ASSERT_EQ(one.descriptors.size(), 2u);
  EXPECT_EQ(one.descriptors[0].fd, 4) << "the oldest first";
  EXPECT_EQ(one.descriptors[1].fd, 3);
  EXPECT_EQ(one.descriptors_omitted, 0u);
  EXPECT_FALSE(report->goroutines[0].goroutines[1].created_by);
  EXPECT_EQ(report->goroutines[0].goroutines[1].fd, 0u);
}

TEST_F(GoroutinesTest, WhatASuppressionCoversIsHeldByNoGoroutine) {
  add(7, started_at(), waits_at());
  hold(7, 2);
  Suppression suppressions[1];
  size_t count = 0, line = 0;
  ParseError error;
  ASSERT_TRUE(parse_suppressions("fd:program", suppressions, count, error, line));
  ReportInput input;
  input.suppressions = suppressions;
  EXPECT_EQ(test::Evaluated(builder_, input)->goroutines[0].fd, 0u);
}

TEST_F(GoroutinesTest, GosOwnAreLeftOutButForTheProgramsFirst) {
  const test::NamedOffset kNames[] = {{10, "main.serve"}, {11, "runtime.init"}};
  std::span<const test::NamedOffset> names = kNames;
  ReportInput input;
  input.resolver = test::naming_resolver(names);
  add(1, started_at(11), waits_at());
  add(2, started_at(11), waits_at());
  add(7, started_at(), waits_at());
  add(8, started_at(12), waits_at());
  test::Evaluated report(builder_, input);
  ASSERT_EQ(report->goroutines.size(), 3u);
  std::vector<uint64_t> all;
  for (const GoroutineGroup& group : report->goroutines) {
    all.push_back(group.goroutines[0].goroutine);
    EXPECT_EQ(group.created_at == 0, all.back() == 1) << "no statement started the first";
    EXPECT_NE(group.stack, 0u);
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, (Ids{1, 7, 8}));
}

TEST_F(GoroutinesTest, StatesHaveTheirNames) {
  const struct {
    GoroutineState state;
    const char* name;
  } kStates[] = {{GoroutineState::runnable, "runnable"},      {GoroutineState::preempted, "runnable"},
                 {GoroutineState::running, "running"},        {GoroutineState::copystack, "running"},
                 {GoroutineState::syscall, "syscall"},        {GoroutineState::waiting, "waiting"},
                 {static_cast<GoroutineState>(99), "unknown"}};
  GoroutineRecord& one = add(7, started_at(), waits_at());
  one.truncated = 1;
  one.wait_reason = builder_.text("chan receive");
  for (const auto& each : kStates) {
    one.state = static_cast<uint8_t>(each.state);
    test::Evaluated report(builder_);
    EXPECT_EQ(report->goroutines[0].state, each.name);
    EXPECT_EQ(report->goroutines[0].wait_reason, "chan receive");
    EXPECT_TRUE(report->goroutines[0].truncated);
  }
}

TEST_F(GoroutinesTest, LongListsAreCutAndSayByHowMuch) {
  for (uint64_t id = 1; id <= 40; ++id) add(100 + id, started_at(), waits_at());
  hold(101, 33);
  test::Evaluated report(builder_);
  ASSERT_EQ(report->goroutines.size(), 1u);
  const GoroutineGroup& group = report->goroutines[0];
  EXPECT_EQ(group.count, 40u);
  EXPECT_EQ(group.goroutines.size(), 32u);
  EXPECT_EQ(group.goroutines_omitted, 8u);
  EXPECT_EQ(group.goroutines[0].fd, 33u);
  EXPECT_EQ(group.goroutines[0].descriptors.size(), 32u);
  EXPECT_EQ(group.goroutines[0].descriptors_omitted, 1u);
}

TEST_F(GoroutinesTest, OfManyGroupsTheRestIsCounted) {
  for (uint64_t id = 1; id <= 257; ++id) add(id + 1, started_at(), waits_at(1000 + id));
  test::Evaluated report(builder_);
  EXPECT_EQ(report->goroutines.size(), 256u);
  EXPECT_EQ(report->goroutines_omitted, 1u);
}

}  // namespace
}  // namespace unfreed::report
