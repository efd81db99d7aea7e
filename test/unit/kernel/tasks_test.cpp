// Threads, children, misuse and descriptors that cross: how the ledger's tables and the kernel's word come together.
#include <gtest/gtest.h>

#include <cerrno>

#include <string>

#include "support/ledger_builder.h"
#include "support/report_text.h"

namespace unfreed::report {
namespace {

using ledger::FdOrigin;
using ledger::Kind;
using ledger::MisuseKind;
using ledger::ThreadState;
using nlohmann::ordered_json;
using test::LedgerBuilder;

class TasksTest : public ::testing::Test {
 protected:
  uint32_t site(Kind kind) {
    offset_ += 100;
    return builder_.site(kind, 0, builder_.stack({{module_, offset_}, {module_, 2}}));
  }
  ordered_json report(ReportInput input = {}) {
    input.resolver = test::numbered_resolver();
    test::Report written = test::write(builder_.view(), input);
    result_ = written.result;
    return written.json;
  }
  ordered_json outcome(std::string_view rule) {
    Settings settings;
    ParseError error;
    EXPECT_TRUE(parse_rules(rule, settings.rules, error)) << rule;
    ReportInput input;
    input.settings = &settings;
    return report(input)["rules"][0];
  }
  ordered_json thread(int64_t tid) {
    ordered_json json = report();
    for (const ordered_json& one : json["threads"])
      if (one["thread"] == tid) return one;
    return {};
  }

  LedgerBuilder builder_;
  uint32_t module_ = builder_.module("/usr/bin/program", ledger::kModuleMain);
  uint64_t offset_ = 0;
  test::Result result_;
};

TEST_F(TasksTest, AChildThatHasEndedIsLiveOneThatRunsIsNot) {
  uint32_t started = site(Kind::child);
  for (int pid : {601, 602, 603}) builder_.child(started, pid);
  builder_.kernel_task(601, true, 'Z');
  builder_.kernel_task(602, true, 'S');
  ordered_json json = report();
  EXPECT_EQ(json["totals"]["child"]["live"], 1);
  EXPECT_EQ(json["totals"]["child"]["running"], 1);
  EXPECT_EQ(json["totals"]["child"]["reaped_unseen"], 1) << "not there, though nobody was seen to wait for it";
  EXPECT_EQ(json["totals"]["child"]["total"], 3);
  EXPECT_EQ(json["sites"][0]["grade"], "leaked");
  EXPECT_EQ(json["sites"][0]["objects"].size(), 2u);
  EXPECT_EQ(json["sites"][0]["objects"][0]["state"], "zombie");
  EXPECT_EQ(outcome("child>0")["broken"], true);
  EXPECT_EQ(outcome("child.running>1")["broken"], false);
  EXPECT_EQ(outcome("site.child>=1")["broken"], true);
  EXPECT_TRUE(result_.holds_something);
}

TEST_F(TasksTest, ItIsSaidWhereThreadsCouldNotBeAsked) {
  builder_.thread(site(Kind::thread), ThreadState::running);
  auto is_said = [this](ReportInput input = {}) {
    return report(input)["notes"].dump().find("where threads were blocked is missing") != std::string::npos;
  };
  EXPECT_TRUE(is_said());
  ReportInput killed;
  killed.trigger = Trigger::post_mortem;
  EXPECT_FALSE(is_said(killed)) << "nobody was there to be asked";
  builder_.kernel_task(5000, false, 'S');
  EXPECT_FALSE(is_said());
}

TEST_F(TasksTest, WithoutTheKernelsWordNobodyIsCalledAZombie) {
  builder_.child(site(Kind::child), 601);
  ordered_json json = report();
  EXPECT_EQ(json["totals"]["child"]["live"], 0);
  EXPECT_EQ(json["totals"]["child"]["unknown"], 1);
  EXPECT_EQ(json["complete"], false);
  ordered_json rule = outcome("child>0");
  EXPECT_EQ(rule["broken"], false);
  EXPECT_TRUE(rule.contains("unchecked"));
  EXPECT_TRUE(result_.unchecked);
}

TEST_F(TasksTest, OfTwoChildrenWithOnePidTheOlderIsGone) {
  uint32_t first = site(Kind::child);
  uint32_t second = site(Kind::child);
  builder_.child(first, 601);
  builder_.child(second, 601);
  builder_.kernel_task(601, true, 'Z');
  ordered_json json = report();
  EXPECT_EQ(json["totals"]["child"]["live"], 1);
  EXPECT_EQ(json["totals"]["child"]["reaped_unseen"], 1);
  EXPECT_EQ(json["sites"][0]["id"], second);
}

TEST_F(TasksTest, ChildrenOfNobodyAreListed) {
  builder_.child(0, 601).flags = ledger::kChildInherited;
  builder_.kernel_task(601, true, 'S', "old");
  builder_.kernel_task(602, true, 'Z', "stray");
  ordered_json json = report();
  EXPECT_EQ(json["totals"]["child"]["inherited"], 1);
  EXPECT_EQ(json["totals"]["child"]["unattributed"], 1);
  ASSERT_EQ(json["children"].size(), 2u);
  EXPECT_EQ(outcome("child.unattributed>0")["broken"], true);
  EXPECT_EQ(outcome("child>0")["broken"], false);
}

TEST_F(TasksTest, AThreadHoldsWhatItTookInItsLifetime) {
  uint32_t files = site(Kind::fd);
  ledger::ThreadRecord& record = builder_.thread(site(Kind::thread), ThreadState::running);
  record.started_ns = 2'002;
  for (uint32_t fd : {3u, 4u, 5u}) {
    builder_.table_fd(fd, FdOrigin::acquired, files);
    builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, fd)->tid = static_cast<uint32_t>(record.tid);
  }
  ordered_json holds = thread(record.tid)["holds"];
  EXPECT_EQ(holds["fd"], 2) << "the first was taken by an earlier thread of that number";
  EXPECT_EQ(holds["descriptors"][0]["fd"], 4);
  EXPECT_EQ(thread(record.tid)["class"], "joinable");
}

TEST_F(TasksTest, AThreadsBalanceOfTheHeapIsInItsChunks) {
  ledger::ThreadRecord& record = builder_.thread(site(Kind::thread), ThreadState::running);
  uint32_t heap = site(Kind::heap);
  ledger::Chunk& chunk = builder_.chunk(heap);
  builder_.writer().at<ledger::ChunkHead>(ledger::SectionId::chunk_heads, 0)->tid = record.tid;
  ledger::Cell& cell = chunk.cells[heap % ledger::kChunkCells];
  cell.acquired = 5;
  cell.released = 7;
  cell.acquired_bytes = 100;
  cell.released_bytes = 30;
  EXPECT_EQ(thread(record.tid)["holds"]["heap"], -2);
  EXPECT_EQ(thread(record.tid)["holds"]["heap_bytes"], 70);
}

TEST_F(TasksTest, ThreadsAreReconciledWithTheKernel) {
  uint32_t created = site(Kind::thread);
  ledger::ThreadRecord& there = builder_.thread(created, ThreadState::running);
  builder_.thread(created, ThreadState::running);  // the kernel does not know it
  builder_.thread(created, ThreadState::finished);
  builder_.kernel_task(there.tid, false, 'S', "by kernel");
  builder_.kernel_task(7777, false, 'R', "stray");
  ordered_json json = report();
  EXPECT_EQ(json["totals"]["thread"]["running"], 1);
  EXPECT_EQ(json["totals"]["thread"]["live"], 1);
  EXPECT_EQ(json["totals"]["thread"]["unattributed"], 1);
  EXPECT_EQ(thread(there.tid)["name"], "by kernel");
  EXPECT_EQ(thread(there.tid)["kernel_state"], "S");
  EXPECT_EQ(thread(7777)["class"], "unattributed");
}

TEST_F(TasksTest, MisuseNamesItsPlaces) {
  uint32_t opened = site(Kind::fd);
  uint32_t closing = site(Kind::fd);
  uint32_t again = site(Kind::fd);
  ledger::Misuse& misuse = builder_.misuse(MisuseKind::double_close, 5, 2, again);
  misuse.opened_site = opened;
  misuse.closed_site = closing;
  builder_.misuse(MisuseKind::not_open, 6, 0, again);  // taken back
  ordered_json json = report();
  ASSERT_EQ(json["misuse"].size(), 1u);
  EXPECT_EQ(json["misuse"][0]["type"], "double_close");
  for (const char* place : {"opened", "first_closed", "closed"})
    EXPECT_FALSE(json["misuse"][0][place]["stack"].empty()) << place;
  EXPECT_EQ(json["sites"].size(), 0u) << "a place that closes holds nothing";
  builder_.misuse(MisuseKind::not_open, 7, 5, again);
  EXPECT_EQ(outcome("misuse>1")["value"], 2);
  EXPECT_EQ(outcome("misuse.not_open>4")["broken"], true);
  EXPECT_EQ(outcome("misuse>2")["broken"], false);
}

TEST_F(TasksTest, ExecLeaksAreCountedEachTime) {
  uint32_t opened = site(Kind::fd);
  builder_.exec_leak(opened, 5, 3, "/bin/true");
  builder_.exec_leak(opened, 6, 1, "unfinished").state = ledger::kExecLeakFilling;
  ordered_json json = report();
  ASSERT_EQ(json["inherited_by_child"].size(), 1u);
  EXPECT_EQ(json["inherited_by_child"][0]["program"], "/bin/true");
  EXPECT_EQ(outcome("inherited_by_child>2")["value"], 3);
  EXPECT_EQ(outcome("inherited_by_child>2")["broken"], true);
}

TEST_F(TasksTest, ExhaustionNamesTheCallThatFailed) {
  builder_.failure(3, EMFILE, 0, 1);
  builder_.failure(0, ENFILE, 0, 1);
  builder_.header().exhausted_by = 2;
  EXPECT_FALSE(report().contains("exhaustion"));
  ReportInput input;
  input.trigger = Trigger::exhaustion;
  EXPECT_EQ(report(input)["exhaustion"]["error"], "ENFILE");
  EXPECT_EQ(report(input)["exhaustion"]["function"], "open");
}

}  // namespace
}  // namespace unfreed::report
