#include "report/json_writer.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cerrno>
#include <string>
#include <vector>

#include "support/ledger_builder.h"
#include "support/report_text.h"

namespace unfreed::report {
namespace {

using ledger::FdOrigin;
using ledger::Kind;
using ledger::ThreadState;
using nlohmann::ordered_json;
using test::LedgerBuilder;
using test::write;

/// A ledger with one module and a stack of its own for every site.
class ReportTest : public ::testing::Test {
 protected:
  uint32_t fd_site(uint8_t flags = 0) { return builder_.site(Kind::fd, 0, fresh_stack(), flags); }
  uint32_t heap_site(uint64_t live, uint64_t bytes, uint8_t flags = 0) {
    uint32_t site = builder_.site(Kind::heap, 1, fresh_stack(), flags);
    builder_.blocks(site, live + 5, 5, bytes + 50, 50);
    return site;
  }
  uint32_t thread_site() { return builder_.site(Kind::thread, 2, fresh_stack()); }
  uint32_t fresh_stack() {
    offset_ += 100;
    return builder_.stack({{module_, offset_}, {module_, 2}});
  }
  test::Report report(ReportInput input = {}) {
    if (!input.resolver.resolve) input.resolver = test::numbered_resolver();
    return write(builder_.view(), input);
  }
  /// The outcome of one rule.
  ordered_json outcome(std::string_view rule, ReportInput input = {}) {
    Settings settings;
    ParseError error;
    EXPECT_TRUE(parse_rules(rule, settings.rules, error)) << rule;
    input.settings = &settings;
    test::Report written = report(input);
    result_ = written.result;
    return written.json["rules"][0];
  }
  /// Reports with these suppressions, one a line.
  test::Report suppressed(std::string_view lines, ReportInput input = {}) {
    size_t line = 0;
    ParseError error;
    suppression_count_ = 0;
    EXPECT_TRUE(parse_suppressions(lines, suppressions_, suppression_count_, error, line));
    input.suppressions = {suppressions_, suppression_count_};
    return report(input);
  }

  LedgerBuilder builder_;
  uint32_t module_ = builder_.module("/usr/bin/program", ledger::kModuleMain);
  uint64_t offset_ = 0;
  test::Result result_;
  Suppression suppressions_[8];
  size_t suppression_count_ = 0;
};

TEST_F(ReportTest, AnIdleProcessHasAllThePartsAndHoldsNothing) {
  builder_.kernel_fd(0, "/dev/null");
  builder_.table_fd(0, FdOrigin::inherited);
  test::Report written = report();
  EXPECT_TRUE(written.result.written);
  EXPECT_TRUE(written.result.complete);
  EXPECT_FALSE(written.result.holds_something);
  const ordered_json& json = written.json;
  EXPECT_EQ(json["schema_version"], 2);
  EXPECT_EQ(json["tool"]["name"], "unfreed");
  EXPECT_EQ(json["tool"]["version"], UNFREED_VERSION);
  EXPECT_EQ(json["trigger"], "exit");
  EXPECT_EQ(json["complete"], true);
  EXPECT_EQ(json["notes"], ordered_json::array());
  EXPECT_EQ(json["process"]["pid"], 4242);
  EXPECT_EQ(json["process"]["ppid"], 4241);
  EXPECT_EQ(json["process"]["exe"], "/usr/bin/program");
  EXPECT_EQ(json["process"]["argv"], ordered_json({"program", "--flag"}));
  EXPECT_EQ(json["process"]["started"], "2024-05-01T12:34:56.123456789Z");
  EXPECT_EQ(json["process"]["duration_ns"], 1'000'000'000);
  EXPECT_EQ(json["coverage"]["fd"], "exact");
  EXPECT_EQ(json["totals"]["fd"]["live"], 0);
  EXPECT_EQ(json["totals"]["fd"]["inherited"], 1);
  EXPECT_EQ(json["sites"], ordered_json::array());
  EXPECT_EQ(json["modules"].size(), 1u);
  EXPECT_EQ(json["modules"][0]["path"], "/usr/bin/program");
  EXPECT_EQ(json["modules"][0]["build_id"], "010203");
}

TEST_F(ReportTest, AHeldDescriptorIsShownAtItsSite) {
  uint32_t site = fd_site();
  builder_.table_fd(7, FdOrigin::acquired, site);
  builder_.kernel_fd(7, "/var/log/app.log", O_WRONLY | O_APPEND, true);
  ordered_json json = report().json;
  ASSERT_EQ(json["sites"].size(), 1u);
  const ordered_json& shown = json["sites"][0];
  EXPECT_EQ(shown["kind"], "fd");
  EXPECT_EQ(shown["grade"], "held");
  EXPECT_EQ(shown["live"], 1);
  EXPECT_EQ(shown["total"], 1);
  EXPECT_EQ(shown["acquired_by"], "open");
  EXPECT_EQ(shown["truncated"], false);
  ASSERT_EQ(shown["objects"].size(), 1u);
  EXPECT_EQ(shown["objects"][0]["fd"], 7);
  EXPECT_EQ(shown["objects"][0]["target"], "/var/log/app.log");
  EXPECT_EQ(shown["objects"][0]["flags"], ordered_json({"cloexec", "write", "append"}));
  EXPECT_EQ(shown["objects"][0]["thread"], 4243);
  EXPECT_EQ(shown["objects"][0]["age_ns"], 1'000'001'000 - 2'001);
  EXPECT_EQ(json["totals"]["fd"]["live"], 1);
  EXPECT_EQ(json["totals"]["fd"]["open"], 1);
}

TEST_F(ReportTest, FramesHaveNamesAndLinesInnermostFirst) {
  uint32_t leaf = builder_.stack({{module_, 104}, {module_, 21, ledger::kNodeExactPc}, {module_, 11}});
  uint32_t site = builder_.site(Kind::fd, 0, leaf, ledger::kSiteTruncated);
  builder_.open_fd(7, FdOrigin::acquired, site, "/tmp/x");
  ordered_json shown = report().json["sites"][0];
  EXPECT_EQ(shown["truncated"], true);
  ASSERT_EQ(shown["stack"].size(), 5u);
  EXPECT_EQ(shown["stack"][0]["function"], "f104(int)");
  EXPECT_EQ(shown["stack"][0]["file"], "/src/m1.c");
  EXPECT_EQ(shown["stack"][0]["line"], 104);
  EXPECT_EQ(shown["stack"][0]["module"], "/usr/bin/program");
  EXPECT_EQ(shown["stack"][0]["build_id"], "010203");
  EXPECT_EQ(shown["stack"][0]["offset"], 103) << "inside the calling instruction";
  EXPECT_EQ(shown["stack"][0]["inlined"], false);
  EXPECT_EQ(shown["stack"][1]["function"], "inlined_f21");
  EXPECT_EQ(shown["stack"][1]["inlined"], true);
  EXPECT_EQ(shown["stack"][2]["function"], "f21(int)");
  EXPECT_EQ(shown["stack"][2]["offset"], 21) << "an interrupted instruction is its own address";
}

TEST_F(ReportTest, FramesWithoutNamesKeepModuleAndOffset) {
  uint32_t bare = builder_.module("/lib/bare.so", 0, "");
  uint32_t leaf = builder_.stack({{bare, 0x501}, {0, 0x7f0000001001}, {4000, 0x11}});
  builder_.open_fd(7, FdOrigin::acquired, builder_.site(Kind::fd, 0, leaf), "/tmp/x");
  ReportInput input;
  input.resolver = {
      nullptr, [](void*, const ledger::View&, const ledger::Node&, void*, void (*)(void*, const ResolvedFrame&)) {}};
  ordered_json stack = report(input).json["sites"][0]["stack"];
  EXPECT_EQ(stack[0], ordered_json({{"module", "/lib/bare.so"}, {"offset", 0x500}, {"inlined", false}}));
  EXPECT_EQ(stack[1], ordered_json({{"module", "[unknown]"}, {"offset", 0x7f0000001000}, {"inlined", false}}));
  EXPECT_EQ(stack[2]["module"], "[unknown]");
}

TEST_F(ReportTest, FramesOfTheRuntimeAreNeverShown) {
  uint32_t runtime = builder_.module("/usr/lib/libunfreed.so", ledger::kModuleRuntime);
  uint32_t with = builder_.stack({{runtime, 9}, {module_, 4}, {module_, 2}});
  uint32_t without = builder_.stack({{module_, 4}, {module_, 2}});
  builder_.open_fd(7, FdOrigin::acquired, builder_.site(Kind::fd, 0, with), "/tmp/x");
  builder_.open_fd(8, FdOrigin::acquired, builder_.site(Kind::fd, 0, without), "/tmp/x");
  ordered_json json = report().json;
  ASSERT_EQ(json["sites"].size(), 2u);
  EXPECT_EQ(json["sites"][0]["stack"], json["sites"][1]["stack"]);
  EXPECT_EQ(json["sites"][0]["signature"], json["sites"][1]["signature"]);
  EXPECT_EQ(json["modules"].size(), 1u);
}

TEST_F(ReportTest, DescriptorsAreReconciledWithTheKernel) {
  uint32_t site = fd_site();
  builder_.open_fd(0, FdOrigin::inherited, 0, "/dev/null");
  builder_.open_fd(3, FdOrigin::inherited, 0, "/tmp/inherited");
  builder_.open_fd(4, FdOrigin::acquired, site, "/tmp/held");
  builder_.table_fd(5, FdOrigin::acquired, site);  // closed behind our back
  builder_.kernel_fd(6, "/tmp/unexplained");
  builder_.open_fd(7, FdOrigin::libc, 0, "/dev/log");
  builder_.open_fd(8, FdOrigin::ignored, site, "/tmp/ignored");
  builder_.open_fd(9, FdOrigin::received, site, "/tmp/received");
  builder_.open_fd(1, FdOrigin::acquired, site, "/tmp/stdout");
  builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, 1)->flags = ledger::kFdPlaced;
  builder_.kernel_fd(2, "/tmp/stderr");
  ordered_json json = report().json;
  const ordered_json& totals = json["totals"]["fd"];
  EXPECT_EQ(totals["live"], 3);
  EXPECT_EQ(totals["attributed"], 2);
  EXPECT_EQ(totals["inherited"], 2);
  EXPECT_EQ(totals["received"], 1);
  EXPECT_EQ(totals["unattributed"], 1);
  EXPECT_EQ(totals["standard"], 2);
  EXPECT_EQ(totals["libc"], 1);
  EXPECT_EQ(totals["ignored"], 1);
  EXPECT_EQ(totals["closed_unseen"], 1);
  EXPECT_EQ(totals["open"], 9);
  ASSERT_EQ(json["sites"].size(), 1u);
  EXPECT_EQ(json["sites"][0]["live"], 2);
  EXPECT_EQ(json["sites"][0]["objects"].size(), 2u);
  ASSERT_EQ(json["descriptors"].size(), 8u);
  EXPECT_EQ(json["descriptors"][0]["fd"], 6) << "what nobody can explain comes first";
  EXPECT_EQ(json["descriptors"][0]["origin"], "unattributed");
  EXPECT_EQ(json["descriptors"][0]["target"], "/tmp/unexplained");
  EXPECT_EQ(json["notes"].size(), 1u) << json["notes"];
}

TEST_F(ReportTest, ADescriptorTakenAfterTheKernelWasAskedIsHeld) {
  uint32_t site = fd_site();
  builder_.kernel_fd(0, "/dev/null");
  builder_.table_fd(5, FdOrigin::acquired, site);
  builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, 5)->acquired_ns =
      builder_.header().reconciled_monotonic_ns + 1;
  ordered_json json = report().json;
  EXPECT_EQ(json["totals"]["fd"]["live"], 1);
  EXPECT_EQ(json["totals"]["fd"]["closed_unseen"], 0);
}

TEST_F(ReportTest, WithoutKernelFactsTheTableIsTheTruthAndANoteSaysSo) {
  uint32_t site = fd_site();
  builder_.table_fd(5, FdOrigin::acquired, site);
  test::Report written = report();
  EXPECT_EQ(written.json["totals"]["fd"]["live"], 1);
  EXPECT_EQ(written.json["reconciled"], false);
  EXPECT_EQ(written.json["complete"], false);
  EXPECT_FALSE(written.result.complete);
  ASSERT_EQ(written.json["notes"].size(), 1u);
  EXPECT_FALSE(written.json["sites"][0]["objects"][0].contains("target"));
}

TEST_F(ReportTest, DescriptorsBeyondTheTableAreUnattributed) {
  builder_.kernel_fd(5'000'000, "/tmp/far");
  EXPECT_EQ(report().json["totals"]["fd"]["unattributed"], 1);
}

TEST_F(ReportTest, ObjectsAreTheOldestAndTheNewest) {
  uint32_t site = fd_site();
  for (uint32_t number = 10; number < 110; ++number)
    builder_.open_fd(number, FdOrigin::acquired, site, "/tmp/" + std::to_string(number));
  ordered_json shown = report().json["sites"][0];
  EXPECT_EQ(shown["live"], 100);
  ASSERT_EQ(shown["objects"].size(), 32u);
  EXPECT_EQ(shown["objects_omitted"], 68);
  EXPECT_EQ(shown["objects"][0]["fd"], 10);
  EXPECT_EQ(shown["objects"][15]["fd"], 25);
  EXPECT_EQ(shown["objects"][16]["fd"], 94);
  EXPECT_EQ(shown["objects"][31]["fd"], 109);
}

TEST_F(ReportTest, HeapSitesHaveBlocksAndBytes) {
  builder_.kernel_fd(0, "/dev/null");
  uint32_t site = heap_site(3, 300);
  ledger::Cell& cell = builder_.chunk(site).cells[site];
  cell.acquired = 2;
  cell.acquired_bytes = 20;
  heap_site(4, 40, ledger::kSiteLibc);
  builder_.header().totals[1].foreign_released = 6;
  ordered_json json = report().json;
  const ordered_json& totals = json["totals"]["heap"];
  EXPECT_EQ(totals["live"], 5);
  EXPECT_EQ(totals["bytes"], 320);
  EXPECT_EQ(totals["libc"], 4);
  EXPECT_EQ(totals["libc_bytes"], 40);
  EXPECT_EQ(totals["foreign_released"], 6);
  ASSERT_EQ(json["sites"].size(), 1u) << "what libc holds for itself is not listed";
  EXPECT_EQ(json["sites"][0]["live"], 5);
  EXPECT_EQ(json["sites"][0]["bytes"], 320);
  EXPECT_EQ(json["sites"][0]["total"], 10);
  EXPECT_EQ(json["sites"][0]["total_bytes"], 370);
}

TEST_F(ReportTest, FinishedThreadsAreLeaksAndRunningOnesAreListed) {
  uint32_t leaking = thread_site();
  uint32_t running = thread_site();
  ledger::ThreadRecord& record = builder_.thread(leaking, ThreadState::finished, 0, "pool");
  record.start_module = module_;
  record.start_module_offset = 40;
  builder_.thread(leaking, ThreadState::running);
  builder_.thread(running, ThreadState::running, ledger::kThreadDetached);
  builder_.thread(leaking, ThreadState::finished, ledger::kThreadIgnored);
  builder_.thread(0, ThreadState::running, ledger::kThreadMain);
  builder_.thread(leaking, ThreadState::free);
  ordered_json json = report().json;
  const ordered_json& totals = json["totals"]["thread"];
  EXPECT_EQ(totals["live"], 1);
  EXPECT_EQ(totals["running"], 2);
  EXPECT_EQ(totals["detached_running"], 1);
  EXPECT_EQ(totals["ignored"], 1);
  ASSERT_EQ(json["sites"].size(), 2u);
  const ordered_json& first = json["sites"][0];
  EXPECT_EQ(first["grade"], "leaked");
  EXPECT_EQ(first["live"], 1);
  EXPECT_EQ(first["running"], 1);
  ASSERT_EQ(first["objects"].size(), 2u);
  EXPECT_EQ(first["objects"][0]["state"], "finished");
  EXPECT_EQ(first["objects"][0]["name"], "pool");
  EXPECT_EQ(first["objects"][0]["start_routine"]["function"], "f40(int)");
  EXPECT_EQ(first["objects"][1]["state"], "running");
  EXPECT_FALSE(first["objects"][1].contains("start_routine")) << "it is not known";
  EXPECT_EQ(json["sites"][1]["grade"], "informational");
  EXPECT_EQ(json["sites"][1]["live"], 0);
  EXPECT_EQ(json["sites"][1]["objects"][0]["detached"], true);
}

TEST_F(ReportTest, SitesStandWorstFirst) {
  uint32_t little = fd_site();
  builder_.open_fd(10, FdOrigin::acquired, little, "/tmp/a");
  uint32_t much = fd_site();
  builder_.open_fd(11, FdOrigin::acquired, much, "/tmp/b");
  builder_.open_fd(12, FdOrigin::acquired, much, "/tmp/c");
  uint32_t small = heap_site(50, 100);
  uint32_t large = heap_site(1, 1'000'000);
  ordered_json sites = report().json["sites"];
  ASSERT_EQ(sites.size(), 4u);
  EXPECT_EQ(sites[0]["id"], much);
  EXPECT_EQ(sites[1]["id"], little);
  EXPECT_EQ(sites[2]["id"], large);
  EXPECT_EQ(sites[3]["id"], small);
}

TEST_F(ReportTest, SitesWithNothingLiveAreShownOnRequest) {
  uint32_t idle = heap_site(0, 0);
  EXPECT_EQ(report().json["sites"].size(), 0u);
  ReportInput input;
  input.all_sites = true;
  ordered_json sites = report(input).json["sites"];
  ASSERT_EQ(sites.size(), 1u);
  EXPECT_EQ(sites[0]["id"], idle);
  EXPECT_EQ(sites[0]["total"], 5);
}

TEST_F(ReportTest, StandardStreamsArePutThereOnPurpose) {
  uint32_t site = fd_site();
  builder_.open_fd(0, FdOrigin::acquired, site, "/proc/uptime");
  builder_.open_fd(1, FdOrigin::acquired, site, "/dev/pts/3");
  builder_.open_fd(2, FdOrigin::acquired, site, "/dev/null");
  ordered_json totals = report().json["totals"]["fd"];
  EXPECT_EQ(totals["live"], 1) << "0 was free by accident";
  EXPECT_EQ(totals["standard"], 2);
  builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, 0)->flags = ledger::kFdPlaced;
  EXPECT_EQ(report().json["totals"]["fd"]["live"], 0) << "dup2 onto 0";
}

TEST_F(ReportTest, RulesSeeOnlyWhatCounts) {
  uint32_t site = fd_site();
  builder_.open_fd(0, FdOrigin::inherited, 0, "/dev/null");
  builder_.open_fd(1, FdOrigin::acquired, site, "/dev/null");
  builder_.open_fd(3, FdOrigin::inherited, 0, "/tmp/inherited");
  builder_.open_fd(4, FdOrigin::libc, 0, "/dev/log");
  builder_.open_fd(5, FdOrigin::ignored, site, "/tmp/ignored");
  builder_.open_fd(6, FdOrigin::acquired, fd_site(ledger::kSiteLibc), "/dev/log");
  builder_.table_fd(7, FdOrigin::acquired, site);  // closed behind our back
  EXPECT_EQ(outcome("fd>0"), ordered_json({{"rule", "fd>0"}, {"value", 0}, {"broken", false}}));
  EXPECT_FALSE(result_.broken);
  EXPECT_FALSE(result_.holds_something);
  builder_.open_fd(8, FdOrigin::acquired, site, "/tmp/leak");
  EXPECT_EQ(outcome("fd>0"), ordered_json({{"rule", "fd>0"}, {"value", 1}, {"broken", true}}));
  EXPECT_TRUE(result_.broken);
  EXPECT_TRUE(result_.holds_something);
  EXPECT_EQ(outcome("fd.inherited>2")["value"], 2);
  EXPECT_EQ(outcome("fd.unattributed>0")["value"], 0);
  builder_.kernel_fd(9, "/tmp/unexplained");
  EXPECT_EQ(outcome("fd.unattributed>0")["broken"], true);
  EXPECT_EQ(outcome("fd>0")["value"], 2) << "the kernel says that it is held";
  EXPECT_EQ(outcome("fd.attributed>0")["value"], 1);
}

TEST_F(ReportTest, SiteRulesTakeTheWorstSite) {
  uint32_t little = fd_site();
  builder_.open_fd(10, FdOrigin::acquired, little, "/tmp/a");
  uint32_t much = fd_site();
  builder_.open_fd(11, FdOrigin::acquired, much, "/tmp/b");
  builder_.open_fd(12, FdOrigin::acquired, much, "/tmp/c");
  ordered_json json = outcome("site.fd>=2");
  EXPECT_EQ(json["value"], 2);
  EXPECT_EQ(json["broken"], true);
  EXPECT_EQ(json["site"], much);
  EXPECT_EQ(outcome("site.fd>2")["broken"], false);
}

TEST_F(ReportTest, HeapAndThreadRulesHaveTheirFields) {
  builder_.kernel_fd(0, "/dev/null");
  heap_site(3, 3000);
  heap_site(9, 9000, ledger::kSiteLibc);
  uint32_t threads = thread_site();
  builder_.thread(threads, ThreadState::finished);
  builder_.thread(threads, ThreadState::running);
  EXPECT_EQ(outcome("heap>0")["value"], 3);
  EXPECT_EQ(outcome("heap.bytes>2K")["broken"], true);
  EXPECT_EQ(outcome("heap.bytes>3K")["broken"], false);
  EXPECT_EQ(outcome("site.heap.bytes>0")["value"], 3000);
  EXPECT_EQ(outcome("thread>0")["value"], 1);
  EXPECT_EQ(outcome("thread.running>0")["value"], 1);
  EXPECT_EQ(outcome("thread.total>1")["broken"], true);
}

TEST_F(ReportTest, ARuleThatCannotBeCheckedIsNeverAPass) {
  builder_.kernel_fd(0, "/dev/null");
  builder_.header().coverage[1] = static_cast<uint8_t>(ledger::Coverage::unavailable);
  ordered_json json = outcome("heap>0");
  EXPECT_FALSE(json.contains("value"));
  EXPECT_EQ(json["broken"], false);
  EXPECT_TRUE(json.contains("unchecked"));
  EXPECT_TRUE(result_.unchecked);
  builder_.header().kinds_tracked = 1;
  EXPECT_TRUE(outcome("thread>0").contains("unchecked"));
  builder_.header().flags = 0;
  EXPECT_TRUE(outcome("fd.unattributed>0").contains("unchecked"));
  outcome("fd>0");
  EXPECT_FALSE(result_.unchecked);
}

TEST_F(ReportTest, KindsThatWereNotSeenHaveNoTotals) {
  builder_.kernel_fd(0, "/dev/null");
  builder_.header().kinds_tracked = 3;
  builder_.header().coverage[1] = static_cast<uint8_t>(ledger::Coverage::unavailable);
  builder_.header().coverage_reason[1] = builder_.text("the program brings its own malloc");
  ordered_json json = report().json;
  EXPECT_EQ(json["coverage"]["heap"], "unavailable");
  EXPECT_EQ(json["coverage"]["thread"], "off");
  EXPECT_FALSE(json["totals"].contains("heap"));
  EXPECT_FALSE(json["totals"].contains("thread"));
  EXPECT_EQ(json["complete"], false);
  ASSERT_EQ(json["notes"].size(), 1u);
  EXPECT_NE(json["notes"][0].get<std::string>().find("the program brings its own malloc"), std::string::npos);
}

TEST_F(ReportTest, SuppressedSitesAreMarkedAndCountForNothing) {
  builder_.kernel_fd(0, "/dev/null");
  uint32_t site = fd_site();  // its innermost frame is f100 in /src/m1.c
  builder_.open_fd(7, FdOrigin::acquired, site, "/tmp/x");
  std::string signature = report().json["sites"][0]["signature"];
  for (const std::string& line : {std::string("fd:f100"), std::string("fd:f100(int)"), std::string("fd:/src/m1.c"),
                                  std::string("*:m1.c"), std::string("fd:program"), std::string("fd:/usr/bin/prog*"),
                                  std::string("fd:f2"), "fd:signature:" + signature}) {
    Settings settings;
    ParseError error;
    ASSERT_TRUE(parse_rules("fd>0,site.fd>0,fd.total>0", settings.rules, error));
    ReportInput input;
    input.settings = &settings;
    test::Report written = suppressed("heap:f100\n" + line, input);
    EXPECT_EQ(written.json["sites"][0]["suppressed_by"], line);
    EXPECT_EQ(written.json["totals"]["fd"]["live"], 1) << line;
    EXPECT_EQ(written.json["totals"]["fd"]["suppressed"], 1) << line;
    for (const ordered_json& rule : written.json["rules"]) EXPECT_EQ(rule["value"], 0) << line << " " << rule;
    EXPECT_FALSE(written.result.holds_something) << line;
  }
  // Of several that match, the first in the file is named, whichever frame it matches.
  for (const char* lines : {"fd:f2\nfd:f100", "fd:f100\nfd:f2", "fd:f100\n*:m1.c\nfd:f100"})
    EXPECT_EQ(suppressed(lines).json["sites"][0]["suppressed_by"],
              std::string(lines).substr(0, std::string(lines).find('\n')));
  for (const char* line : {"heap:*", "fd:f10", "fd:signature:1", "thread:f100"})
    EXPECT_FALSE(suppressed(line).json["sites"][0].contains("suppressed_by")) << line;
}

TEST_F(ReportTest, FailuresNameTheFirstFailedCall) {
  builder_.kernel_fd(0, "/dev/null");
  builder_.failure(3, EMFILE, fresh_stack(), 17);
  builder_.failure(0, 9999, 0, 1);
  ordered_json json = report().json;
  ASSERT_EQ(json["failures"].size(), 2u);
  const ordered_json& failure = json["failures"][0];
  EXPECT_EQ(failure["function"], "fopen");
  EXPECT_EQ(failure["error"], "EMFILE");
  EXPECT_EQ(failure["count"], 17);
  EXPECT_EQ(failure["live_then"], 1021);
  EXPECT_EQ(failure["thread"], 4243);
  EXPECT_EQ(failure["first_after_ns"], 500'000'000);
  EXPECT_EQ(failure["first"], "2024-05-01T12:34:56.623456789Z");
  EXPECT_EQ(failure["stack"][0]["function"], "f100(int)");
  EXPECT_EQ(json["failures"][1]["error"], "errno 9999");
}

TEST_F(ReportTest, EverythingDroppedIsNamed) {
  builder_.kernel_fd(0, "/dev/null");
  for (size_t reason = 0; reason < ledger::kDroppedSlots; ++reason) builder_.header().dropped[reason] = reason + 1;
  ordered_json json = report().json;
  EXPECT_EQ(json["complete"], false);
  ASSERT_EQ(json["notes"].size(), ledger::kDroppedSlots);
  for (size_t reason = 0; reason < ledger::kDroppedSlots; ++reason)
    EXPECT_EQ(json["notes"][reason].get<std::string>().rfind(std::to_string(reason + 1) + " ", 0), 0u);
}

TEST_F(ReportTest, NotesOfTheCallerAreAddedAndHarmless) {
  builder_.kernel_fd(0, "/dev/null");
  std::string_view notes[] = {"seen from outside"};
  ReportInput input;
  input.notes = notes;
  test::Report written = report(input);
  EXPECT_EQ(written.json["notes"], ordered_json({"seen from outside"}));
  EXPECT_TRUE(written.result.complete);
}

TEST_F(ReportTest, TheEndIsAnExitStatusOrASignal) {
  builder_.kernel_fd(0, "/dev/null");
  EXPECT_FALSE(report().json["process"].contains("exit_status"));
  ReportInput input;
  input.wait_status = W_EXITCODE(3, 0);
  EXPECT_EQ(report(input).json["process"]["exit_status"], 3);
  input.wait_status = W_EXITCODE(0, SIGKILL);
  input.trigger = Trigger::post_mortem;
  ordered_json json = report(input).json;
  EXPECT_EQ(json["process"]["signal"], SIGKILL);
  EXPECT_EQ(json["process"]["signal_name"], "SIGKILL");
  EXPECT_EQ(json["trigger"], "post_mortem");
  EXPECT_FALSE(json["process"].contains("exit_status"));
  builder_.header().state = static_cast<uint32_t>(ledger::State::ended);
  builder_.header().exit_status = 9;
  builder_.header().ended_monotonic_ns = 5'000;
  json = report().json;
  EXPECT_EQ(json["process"]["exit_status"], 9);
  EXPECT_EQ(json["process"]["duration_ns"], 4'000);
}

TEST_F(ReportTest, AnyBytesGiveValidJson) {
  std::string hostile = "/tmp/\x01\"\\\n\x7f\xff\xc3\x28\xed\xa0\x80\xf5\xe2\x82\xac\xf0\x9f\x92\xa7\xc0\xaf";
  uint32_t site = fd_site();
  builder_.open_fd(7, FdOrigin::acquired, site, hostile);
  builder_.header().exe = builder_.text("\xfe\xff");
  test::Report written = report();  // the parser throws on bad UTF-8
  std::string target = written.json["sites"][0]["objects"][0]["target"];
  const std::string replaced = "\xef\xbf\xbd";
  EXPECT_EQ(target, "/tmp/\x01\"\\\n\x7f" + replaced + replaced + "(" + replaced + replaced + replaced + replaced +
                        "\xe2\x82\xac\xf0\x9f\x92\xa7" + replaced + replaced);
  EXPECT_EQ(written.json["process"]["exe"], replaced + replaced);
}

TEST_F(ReportTest, IsTheSameWhateverTheSizeOfTheBuffer) {
  builder_.open_fd(7, FdOrigin::acquired, fd_site(), "/tmp/\x01\u20ac\\\"\xff");
  heap_site(3, 300);
  ledger::View view = builder_.view();
  ReportInput input;
  input.view = &view;
  input.resolver = test::numbered_resolver();
  base::Arena arena;
  Report evaluated;
  evaluate(input, arena, evaluated);
  auto written = [&](size_t bytes) {
    std::string text;
    std::vector<char> buffer(bytes);
    EXPECT_TRUE(write_json(evaluated, StackForm::file, buffer, test::text_sink(text)));
    return text;
  };
  const std::string whole = written(kJsonBufferBytes);
  for (size_t bytes = 1; bytes < 80; ++bytes) ASSERT_EQ(written(bytes), whole) << "with a buffer of " << bytes;
  EXPECT_EQ(written(whole.size()), whole);
  EXPECT_EQ(written(whole.size() - 1), whole);
}

TEST_F(ReportTest, IsLaidOutToBeReadByEye) {
  builder_.open_fd(7, FdOrigin::acquired, fd_site(), "/tmp/x");
  std::string text = report().text;
  EXPECT_EQ(text.substr(0, 44), "{\n  \"schema_version\": 2,\n  \"tool\": {\"name\": ");
  EXPECT_NE(text.find("\n      \"kind\": \"fd\",\n"), std::string::npos) << "a site has a line for each member";
  EXPECT_NE(text.find("{\"function\": \"f2(int)\", \"file\": \"/src/m1.c\", \"line\": 2, \"module\": "),
            std::string::npos)
      << "a frame is one line";
  EXPECT_NE(text.find("\"notes\": [],\n"), std::string::npos) << "nor do empty lists take more";
  EXPECT_EQ(text.substr(text.size() - 3), "\n}\n");
}

TEST_F(ReportTest, WritesHiddenCharactersAsEscapes) {
  const std::string name = "/tmp/\u202egnp\u200b\u009b\U000e0041ü\U0001f4a7";
  builder_.open_fd(7, FdOrigin::acquired, fd_site(), name);
  test::Report written = report();
  EXPECT_EQ(written.json["sites"][0]["objects"][0]["target"], name);
  EXPECT_NE(written.text.find("/tmp/\\u202egnp\\u200b\\u009b\\udb40\\udc41ü\U0001f4a7\""), std::string::npos);
}

TEST_F(ReportTest, ASinkThatRefusesIsReported) {
  ReportInput input;
  ledger::View view = builder_.view();
  input.view = &view;
  EXPECT_FALSE(test::write_report(input, {nullptr, [](void*, std::string_view) { return false; }}).written);
  EXPECT_FALSE(test::write_report(input, {}).written);
}

TEST_F(ReportTest, TotalsAloneGiveTheSameVerdicts) {
  for (int held = 0; held < 2; ++held) {
    Settings settings;
    ParseError error;
    ASSERT_TRUE(parse_rules("fd>0,site.heap>2,heap.bytes>299", settings.rules, error));
    ReportInput input;
    input.settings = &settings;
    test::Report whole = report(input);
    input.totals_only = true;
    test::Report totals = report(input);
    EXPECT_EQ(whole.result.broken, totals.result.broken);
    EXPECT_EQ(whole.result.holds_something, totals.result.holds_something);
    EXPECT_EQ(whole.json["totals"], totals.json["totals"]);
    EXPECT_TRUE(totals.json["sites"].empty());
    builder_.open_fd(7, FdOrigin::acquired, fd_site(), "/tmp/x");
    heap_site(3, 300);
  }
}

TEST_F(ReportTest, ForgedRecordsAreSurvived) {
  uint32_t site = fd_site();
  builder_.open_fd(7, FdOrigin::acquired, site, "/tmp/x");
  builder_.table_fd(8, FdOrigin::acquired);
  auto* forged = builder_.writer().at<ledger::FdRecord>(ledger::SectionId::fds, 8);
  forged->word = UINT64_MAX;
  forged->owner_kind = UINT16_MAX;
  builder_.kernel_fd(-5, "negative");
  builder_.kernel_fd(7, "twice");
  builder_.kernel_fd(INT32_MAX, "last");
  builder_.site(static_cast<Kind>(250), 65535, UINT32_MAX);
  builder_.thread(0, ThreadState::finished, 0, "0123456789abcde").site = UINT32_MAX;
  builder_.header().argv_count = UINT32_MAX;
  builder_.header().hook_count = UINT32_MAX;
  builder_.header().started_realtime_ns = UINT64_MAX;
  builder_.header().totals[0].acquired = UINT64_MAX;
  builder_.header().coverage[2] = 99;
  ordered_json json = report().json;
  EXPECT_EQ(json["sites"][0]["live"], 1);
  EXPECT_EQ(json["coverage"]["thread"], "partial");
  EXPECT_EQ(json["process"]["started"], "2554-07-21T23:34:33.709551615Z");
}

TEST_F(ReportTest, CountsThatNeverSettleAreSaid) {
  builder_.kernel_fd(0, "/dev/null");
  builder_.header().fold_sequence = 1;
  test::Report written = report();
  EXPECT_FALSE(written.result.complete);
  EXPECT_EQ(written.json["notes"].size(), 1u);
}

}  // namespace
}  // namespace unfreed::report
