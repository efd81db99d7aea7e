// Threads, children, misuse and descriptors that cross: how the ledger's tables and the kernel's word come together.
#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <string>
#include <vector>

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
  EXPECT_EQ(outcome("child>0")["broken"], true) << "it has ended, and was not waited for";
}

TEST_F(TasksTest, AChildOfNobodyThatRunsBreaksNoRuleAboutUnreapedOnes) {
  builder_.kernel_task(602, true, 'S', "stray");
  report();
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

TEST_F(TasksTest, WhatLeakedAcrossExecIsNamedByTheKernelWhileItIsOpen) {
  uint32_t opened = site(Kind::fd);
  builder_.open_fd(5, FdOrigin::acquired, opened, "socket:[4711] tcp 10.0.0.1:80");
  builder_.table_fd(6, FdOrigin::acquired, opened);  // the kernel does not list it
  for (int fd : {5, 6, 7}) {
    ledger::ExecLeak& leak = builder_.exec_leak(opened, fd, 1, "/bin/true");
    std::string_view("socket:[4711]").copy(leak.target, sizeof leak.target - 1);
    if (fd != 7)
      leak.serial = ledger::fd_serial(
          builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, static_cast<uint64_t>(fd))->word);
  }
  ordered_json leaks = report()["inherited_by_child"];
  EXPECT_EQ(leaks[0]["target"], "socket:[4711] tcp 10.0.0.1:80");
  EXPECT_EQ(leaks[1]["target"], "socket:[4711]");
  EXPECT_EQ(leaks[2]["target"], "socket:[4711]");
  builder_.writer().at<ledger::ExecLeak>(ledger::SectionId::exec_leaks, 0)->serial += 100;
  EXPECT_EQ(report()["inherited_by_child"][0]["target"], "socket:[4711]") << "that number is another descriptor's now";
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

TEST_F(TasksTest, AChildThatIsAboutToGoHasEnded) {
  uint32_t started = site(Kind::child);
  builder_.child(started, 601);
  builder_.kernel_task(601, true, 'X');
  EXPECT_EQ(report()["totals"]["child"]["live"], 1);
}

TEST_F(TasksTest, AChildStartedAfterTheKernelWasAskedRuns) {
  builder_.kernel_task(900, true, 'S');
  builder_.child(site(Kind::child), 601).started_ns = builder_.header().reconciled_monotonic_ns + 1;
  builder_.child(site(Kind::child), 602).started_ns = builder_.header().reconciled_monotonic_ns;
  ordered_json totals = report()["totals"]["child"];
  EXPECT_EQ(totals["running"], 1);
  EXPECT_EQ(totals["reaped_unseen"], 1);
}

TEST_F(TasksTest, AChildThatWasWaitedForIsNone) {
  builder_.child(site(Kind::child), 601).state = static_cast<uint32_t>(ledger::ChildState::free);
  ordered_json totals = report()["totals"]["child"];
  EXPECT_EQ(totals["live"], 0);
  EXPECT_EQ(totals["unknown"], 0);
  EXPECT_EQ(totals["total"], 1) << "it was started all the same";
}

TEST_F(TasksTest, ASiteOfAnotherKindIsNoneOfTheirs) {
  uint32_t file = site(Kind::fd);
  builder_.child(file, 601);
  builder_.kernel_task(601, true, 'Z');
  builder_.thread(file, ThreadState::finished);
  ordered_json json = report();
  EXPECT_EQ(json["totals"]["child"]["live"], 1);
  EXPECT_EQ(json["totals"]["thread"]["live"], 1);
  EXPECT_EQ(json["sites"].size(), 0u);
}

TEST_F(TasksTest, TheEndedOnesOfASiteComeFirstThenTheOldest) {
  uint32_t started = site(Kind::child), created = site(Kind::thread);
  for (int pid : {601, 602, 603, 604}) builder_.child(started, pid);
  builder_.kernel_task(601, true, 'S');
  for (int pid : {602, 603, 604}) builder_.kernel_task(pid, true, 'Z');
  builder_.thread(created, ThreadState::running);
  for (int i = 0; i < 2; ++i) builder_.thread(created, ThreadState::finished);
  builder_.kernel_task(5000, false, 'S');
  ordered_json json = report();
  for (const ordered_json& one : json["sites"]) {
    std::vector<int64_t> numbers;
    for (const ordered_json& object : one["objects"])
      numbers.push_back(object[one["kind"] == "child" ? "process" : "thread"]);
    EXPECT_EQ(numbers, one["kind"] == "child" ? (std::vector<int64_t>{602, 603, 604, 601})
                                              : (std::vector<int64_t>{5001, 5002, 5000}));
  }
}

TEST_F(TasksTest, ThreadsHaveTheirClass) {
  uint32_t created = site(Kind::thread), libcs = builder_.site(Kind::thread, 0, 0, ledger::kSiteLibc);
  builder_.header().main_tid = 4242;
  builder_.thread(0, ThreadState::running, ledger::kThreadMain).tid = 4242;
  builder_.thread(created, ThreadState::running);                            // 5001
  builder_.thread(created, ThreadState::running, ledger::kThreadDetached);   // 5002
  builder_.thread(created, ThreadState::running, ledger::kThreadIgnored);    // 5003
  builder_.thread(created, ThreadState::finished);                           // 5004
  builder_.thread(created, ThreadState::finished, ledger::kThreadDetached);  // has gone
  builder_.thread(libcs, ThreadState::running);                              // 5006
  for (int tid : {4242, 5001, 5002, 5003, 5006}) builder_.kernel_task(tid, false, 'S');
  builder_.kernel_task(7000, false, 'S');
  builder_.kernel_task(7001, false, 'S');
  builder_.writer().at<ledger::KernelTask>(ledger::SectionId::kernel_tasks, 6)->flags = ledger::kTaskLibc;
  ordered_json json = report();
  const std::map<int64_t, std::string> kClasses = {{4242, "main"},         {5001, "joinable"}, {5002, "detached"},
                                                   {5003, "ignored"},      {5004, "finished"}, {5006, "joinable"},
                                                   {7000, "unattributed"}, {7001, "libc"}};
  std::map<int64_t, std::string> classes;
  for (const ordered_json& one : json["threads"]) classes[one["thread"]] = one["class"];
  EXPECT_EQ(classes, kClasses);
  const ordered_json& totals = json["totals"]["thread"];
  EXPECT_EQ(totals["running"], 2);
  EXPECT_EQ(totals["detached_running"], 1);
  EXPECT_EQ(totals["ignored"], 1);
  EXPECT_EQ(totals["live"], 1);
  EXPECT_EQ(totals["libc"], 2);
  EXPECT_EQ(totals["unattributed"], 1);
}

TEST_F(TasksTest, ThreadsThatHoldMostComeFirstAndTheMainOneLast) {
  uint32_t files = site(Kind::fd), created = site(Kind::thread);
  builder_.thread(0, ThreadState::running, ledger::kThreadMain).started_ns = 1;  // 5000
  builder_.thread(created, ThreadState::running).started_ns = 50;                // 5001
  builder_.thread(created, ThreadState::running).started_ns = 40;                // 5002
  builder_.thread(created, ThreadState::running).heap_bytes = 10;                // 5003
  builder_.thread(created, ThreadState::running);                                // 5004: holds a descriptor
  builder_.thread(created, ThreadState::running).started_ns = 50;                // 5005
  builder_.table_fd(9, FdOrigin::acquired, files);
  auto* held = builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, 9);
  held->tid = 5004;
  held->acquired_ns = 4'000;
  for (uint32_t fd : {10u, 11u}) {
    builder_.table_fd(fd, FdOrigin::acquired, files);
    builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, fd)->tid = 5000;
  }
  ordered_json json = report();
  std::vector<int64_t> order;
  for (const ordered_json& one : json["threads"]) order.push_back(one["thread"]);
  EXPECT_EQ(order, (std::vector<int64_t>{5004, 5003, 5002, 5001, 5005, 5000}));
}

TEST_F(TasksTest, AnEndedThreadHoldsNothingThatCameLater) {
  uint32_t files = site(Kind::fd);
  ledger::ThreadRecord& record = builder_.thread(site(Kind::thread), ThreadState::finished);
  for (uint32_t fd : {3u, 4u, 5u}) {
    builder_.table_fd(fd, FdOrigin::acquired, files);
    auto* held = builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, fd);
    held->tid = static_cast<uint32_t>(record.tid);
    held->acquired_ns = record.started_ns + fd - 3;
  }
  record.finished_ns = record.started_ns + 1;
  EXPECT_EQ(thread(record.tid)["holds"]["fd"], 2) << "one later than its end is another thread's of that number";
}

TEST_F(TasksTest, AThreadThatWaitsHasItsStack) {
  uint32_t created = site(Kind::thread), node = builder_.stack({{module_, 900}, {module_, 2}});
  ledger::ThreadRecord& there = builder_.thread(created, ThreadState::running);
  there.current_node = node;
  there.current_ns = 1;
  there.current_truncated = 1;
  builder_.kernel_task(there.tid, false, 'S');
  builder_.kernel_task(7000, false, 'S');
  auto* stray = builder_.writer().at<ledger::KernelTask>(ledger::SectionId::kernel_tasks, 1);
  stray->node = node;
  for (int64_t tid : {int64_t{there.tid}, int64_t{7000}}) {
    stray->flags = ledger::kTaskTruncated;
    EXPECT_EQ(thread(tid)["stack"][0]["function"], "f900(int)");
    EXPECT_EQ(thread(tid)["truncated"], true);
  }
  there.current_truncated = 0;
  stray->flags = 0;
  EXPECT_FALSE(thread(there.tid).value("truncated", false));
  EXPECT_FALSE(thread(7000).value("truncated", false));
  there.current_ns = 0;
  EXPECT_FALSE(thread(there.tid).contains("stack")) << "nobody asked it";
}

TEST_F(TasksTest, ASuppressionOfTheCloseOrOfTheOpeningCoversAnInvalidClose) {
  builder_.kernel_fd(0, "/dev/null");
  uint32_t opened = builder_.site(Kind::fd, 0, builder_.stack({{module_, 9000}, {module_, 2}}));
  uint32_t closing = builder_.site(Kind::fd, 0, builder_.stack({{module_, 8000}, {module_, 2}}));
  builder_.misuse(MisuseKind::double_close, 5, 2, closing).opened_site = opened;
  builder_.misuse(MisuseKind::not_open, 6, 3, closing);
  builder_.exec_leak(opened, 5, 4, "/bin/true");
  auto covered = [this](const char* line) {
    Suppression suppressions[1];
    size_t count = 0, at = 0;
    ParseError error;
    EXPECT_TRUE(parse_suppressions(line, suppressions, count, error, at));
    ReportInput input;
    input.suppressions = suppressions;
    return report(input)["totals"];
  };
  ordered_json none = covered("fd:f1");
  EXPECT_EQ(none["misuse"]["live"], 2);
  EXPECT_EQ(none["misuse"]["suppressed"], 0);
  EXPECT_EQ(none["misuse"]["not_open"], 3);
  EXPECT_EQ(none["inherited_by_child"]["live"], 4);
  EXPECT_EQ(none["inherited_by_child"]["suppressed"], 0);
  ordered_json of_closing = covered("fd:f8000");
  EXPECT_EQ(of_closing["misuse"]["suppressed"], 2);
  EXPECT_EQ(of_closing["misuse"]["suppressed_not_open"], 3);
  EXPECT_EQ(of_closing["inherited_by_child"]["suppressed"], 0);
  ordered_json of_opening = covered("fd:f9000");
  EXPECT_EQ(of_opening["misuse"]["suppressed"], 2);
  EXPECT_EQ(of_opening["misuse"]["suppressed_not_open"], 0);
  EXPECT_EQ(of_opening["inherited_by_child"]["suppressed"], 4);
  // A limit that is exceeded lets everything be seen again.
  EXPECT_EQ(covered("fd:f8000 max=5")["misuse"]["suppressed"], 2);
  EXPECT_EQ(covered("fd:f8000 max=4")["misuse"]["suppressed"], 0);
  EXPECT_EQ(covered("fd:f9000 max=5")["inherited_by_child"]["suppressed"], 0);
  EXPECT_EQ(covered("fd:f9000 max=6")["inherited_by_child"]["suppressed"], 4);
}

TEST_F(TasksTest, ForgedMisuseAndExecLeaksAreLeftOut) {
  uint32_t at = site(Kind::fd);
  builder_.misuse(static_cast<MisuseKind>(0), 5, 1, at);
  builder_.misuse(static_cast<MisuseKind>(99), 5, 1, at);
  builder_.misuse(MisuseKind::double_close, 5, uint64_t{1} << 63, at);
  builder_.misuse(MisuseKind::double_close, 5, 1, 0);
  builder_.misuse(MisuseKind::double_close, 5, 1, 9999);
  builder_.exec_leak(at, -1, 1, "/bin/true");
  builder_.exec_leak(at, 5, 0, "/bin/true");
  builder_.exec_leak(at, 5, uint64_t{1} << 63, "/bin/true");
  builder_.exec_leak(0, 5, 1, "/bin/true");
  ordered_json json = report();
  EXPECT_EQ(json["misuse"].size(), 0u);
  EXPECT_EQ(json["inherited_by_child"].size(), 0u);
  for (const char* subject : {"misuse", "inherited_by_child"}) EXPECT_EQ(json["totals"][subject]["live"], 0);
}

TEST_F(TasksTest, EveryMisuseHasItsCount) {
  uint32_t at = site(Kind::fd);
  const std::pair<MisuseKind, const char*> kKinds[] = {{MisuseKind::double_close, "double_close"},
                                                       {MisuseKind::not_open, "not_open"},
                                                       {MisuseKind::behind_owner, "behind_owner"},
                                                       {MisuseKind::stale_owner, "stale_owner"},
                                                       {MisuseKind::standard_closed, "standard_closed"}};
  uint64_t count = 1;
  for (const auto& [kind, name] : kKinds) builder_.misuse(kind, 5, count++, at);
  ordered_json json = report();
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(json["misuse"][i]["type"], kKinds[i].second);
    EXPECT_EQ(json["totals"]["misuse"][kKinds[i].second], i + 1) << kKinds[i].second;
  }
  EXPECT_EQ(json["totals"]["misuse"]["live"], 1 + 3 + 4) << "two of them programs do on purpose, too";
}

}  // namespace
}  // namespace unfreed::report
