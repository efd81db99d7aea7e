// What people get to see: the summary, comparisons, the page, and rules on reports already written.
#include "render/text.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "evaluate/evaluate.h"
#include "evaluate/places.h"
#include "render/diff.h"
#include "render/frames.h"
#include "render/quantities.h"
#include "render/read_json.h"
#include "render/renderers.h"
#include "render/sample_report.h"

namespace unfreed::render {
namespace {

using report::Report;
using report::RuleOutcome;

base::Arena& arena() {
  static base::Arena for_all_tests;
  return for_all_tests;
}

Report sample() {
  std::string error;
  Report report;
  EXPECT_TRUE(read_json(kSampleReport, arena(), report, error)) << error;
  return report;
}

TextOptions plain() {
  TextOptions options;
  options.paths = PathShortener("/opt/service", "/home/me");
  return options;
}

testing::AssertionResult has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "no \"" << part << "\" in:\n" << text;
}

TEST(Text, SaysInAFewLinesWhatIsHeld) {
  std::string text = render_text(sample(), plain());
  EXPECT_TRUE(has(text, "unfreed: service (pid 4242) exited with status 0 after 1.23 s\n"));
  EXPECT_TRUE(has(text, "  fd      5 held, of 120 acquired; peak 9; 1 unattributed; 1 of the 5 suppressed\n"));
  EXPECT_TRUE(has(text, "  heap    1.2 MiB in 12 blocks held, of 94.2 MiB in 5,000 blocks\n"));
  EXPECT_TRUE(has(text, "  thread  1 ended unjoined, of 4 started; 2 still running (partial)\n"));
  EXPECT_TRUE(has(text, "  FAIL fd>0: 4 descriptors held\n"));
  EXPECT_TRUE(has(text, "  not checked child>0: this kind was not tracked\n"));
  EXPECT_TRUE(has(text, "open, but not opened through a hooked function: 9 (/dev/null)\n"));
  EXPECT_TRUE(has(text,
                  "first failed call: openat (EMFILE), 12 times; 1,020 held at the time; thread 4243\n      open_log "
                  "(src/log.cpp:17)\n"));
  EXPECT_TRUE(has(text, "this report is incomplete\n  note: 3 stacks were cut short"));
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 45) << "ten seconds";
}

TEST(Text, ShowsTheProgramsOwnFramesFirst) {
  std::string text = render_text(sample(), plain());
  EXPECT_TRUE(has(text,
                  "  4 descriptors from fopen: /var/log/app.log, /var/log/other\\x1b[31m.log\n"
                  "      service::Log::write(std::string const&) (src/log.cpp:42)\n"
                  "      service::Server::handle() (src/server.cpp:118)\n"
                  "      main (src/main.cpp:9)\n"));
  EXPECT_EQ(text.find("filebuf"), std::string::npos) << text;
  EXPECT_EQ(text.find("_start"), std::string::npos) << text;
  EXPECT_TRUE(has(text, "libthing.so.1+0x1234\n"));
}

TEST(Text, LeavesSuppressedSitesOut) { EXPECT_EQ(render_text(sample(), plain()).find("socket"), std::string::npos); }

TEST(Text, ShowsNoMorePlacesOfAKindThanAskedFor) {
  Report report = sample();
  for (uint64_t more = 0; more < 4; ++more) {
    report::Site site = report.sites[0];
    site.signature = 0x1000 + more;
    site.live = 2;
    report.sites.add(arena(), site);
  }
  report::group_places(report, arena());
  TextOptions options = plain();
  options.most_sites = 2;
  std::string text = render_text(report, options);
  EXPECT_TRUE(has(text, "  4 descriptors from fopen"));
  EXPECT_TRUE(has(text, "  2 descriptors from fopen"));
  EXPECT_TRUE(has(text, "and 3 more call sites, with 6 descriptors\n"));
  EXPECT_TRUE(has(text, "  1 thread from pthread_create")) << "of each kind the worst";
  EXPECT_TRUE(has(text, "  12 blocks, 1.2 MiB from malloc"));
  report.sites_omitted = 1000;
  EXPECT_TRUE(has(render_text(report, options), "and 1,000 more stacks that the report leaves out\n"));
}

TEST(Text, ColoursOnlyWhenTold) {
  TextOptions options = plain();
  EXPECT_EQ(render_text(sample(), options).find('\x1b'), std::string::npos);
  options.colour = true;
  EXPECT_TRUE(has(render_text(sample(), options), "\x1b[1;31mFAIL fd>0: 4"));
}

TEST(Text, NeverLetsAReportSteerTheTerminal) {
  Report report = sample();
  report.process.exe = "/bin/\x1b]0;evil\x07";
  report.notes[0] = "a\nb\u009b\u202e";
  report.stacks.calls[1].frames[0].function = "f\r\x1b[2J";
  std::string text = render_text(report, plain());
  for (char bad : {'\x1b', '\x07', '\r'}) EXPECT_EQ(text.find(bad), std::string::npos);
  EXPECT_TRUE(has(text, "a\\x0ab\\u009b\\u202e"));
}

TEST(Text, DescribesHowAProcessEnded) {
  Report report = sample();
  report.process.exit_status.reset();
  report.process.signal = 9;
  report.process.signal_name = "SIGKILL";
  EXPECT_TRUE(has(render_text(report, plain()), "was killed by signal 9 (SIGKILL) after"));
  report.process.signal.reset();
  EXPECT_TRUE(has(render_text(report, plain()), "still running after"));
}

TEST(Text, DescribesWhatIsHeldInAPhrase) {
  EXPECT_EQ(describe_held(sample()), "4 descriptors, 1 thread");
  EXPECT_EQ(describe_held(Report{}), "nothing");
}

TEST(Text, RespectsNoColor) {
  setenv("NO_COLOR", "1", 1);
  setenv("TERM", "xterm", 1);
  EXPECT_FALSE(wants_colour(1));
  unsetenv("NO_COLOR");
  EXPECT_FALSE(wants_colour(-1));
}

TEST(Frames, FallBackToWhatThereIs) {
  std::vector<StackFrame> stack(2);
  stack[0].module = stack[1].module = "/lib/x86_64-linux-gnu/libc.so.6";
  stack[0].function = "fopen64";
  EXPECT_EQ(choose_frames(stack, "/bin/x", plain().paths, 4).size(), 2u);
  EXPECT_TRUE(choose_frames({}, "/bin/x", plain().paths, 4).empty());
}

TEST(Frames, ReachTheFirstOwnFrame) {
  std::vector<StackFrame> stack(6);
  for (StackFrame& frame : stack) frame.module = "/usr/lib/libdeep.so.1";
  stack[4].module = "/bin/x";
  auto shown = choose_frames(stack, "/bin/x", plain().paths, 3);
  ASSERT_EQ(shown.size(), 3u);
  EXPECT_EQ(shown[2].frame, &stack[4]);
  EXPECT_TRUE(shown[2].after_gap);
}

StackFrame frame(std::string_view function, std::string_view file, uint32_t line,
                 std::string_view module = "/work/app") {
  return {function, file, line, module, 0, false};
}

TEST(Frames, AreTheUsersWithALine) {
  std::vector<StackFrame> stack = {
      frame("boost::asio::detail::socket_ops::socket()", "/usr/include/boost/asio/impl/socket_ops.ipp", 1700),
      frame("alloc::raw_vec::grow", "/rustc/0123/library/alloc/src/raw_vec.rs", 10),
      frame("on_event", "", 0),
      frame("PyObject_Vectorcall", "", 0, "/usr/bin/python3.11"),
      frame("std::vector<int>::push_back(int)", "", 0),
      frame("step", "", 0),
      frame("main", "/work/main.cpp", 7),
      frame("_start", "", 0)};
  std::vector<const StackFrame*> shown;
  for (const ShownFrame& one : choose_frames(stack, "/work/app", plain().paths, 3)) shown.push_back(one.frame);
  EXPECT_EQ(shown, (std::vector<const StackFrame*>{&stack[2], &stack[5], &stack[6]}));
  auto two = choose_frames(stack, "/work/app", plain().paths, 2);
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[1].frame, &stack[6]) << "the one that has a line";
  EXPECT_TRUE(two[1].after_gap);
}

TEST(Frames, OfTheWorkingDirectoryComeFirst) {
  std::vector<StackFrame> stack = {frame("vendored::open", "/opt/vendor/include/file.h", 3),
                                   frame("open_log", "/opt/service/src/log.c", 8),
                                   frame("main", "/opt/service/src/main.c", 9)};
  auto shown = choose_frames(stack, "/work/app", plain().paths, 4);
  ASSERT_EQ(shown.size(), 2u);
  EXPECT_EQ(shown[0].frame, &stack[1]);
}

TEST(Paths, AreShort) {
  PathShortener paths("/home/me/work", "/home/me");
  EXPECT_EQ(paths.shorten("/home/me/work/src/a.c"), "src/a.c");
  EXPECT_EQ(paths.shorten("/home/me/other/a.c"), "~/other/a.c");
  EXPECT_EQ(paths.shorten("/home/mean/a.c"), "/home/mean/a.c");
  EXPECT_EQ(paths.shorten("/usr/src/packages/somewhere/very/deep/in/the/tree/lib/io/a.c"), "…/lib/io/a.c");
  EXPECT_EQ(PathShortener("/", "").shorten("/etc/passwd"), "/etc/passwd");
}

TEST(Quantities, ReadWell) {
  EXPECT_EQ(write_count(0), "0");
  EXPECT_EQ(write_count(999), "999");
  EXPECT_EQ(write_count(1234567), "1,234,567");
  EXPECT_EQ(write_bytes(1023), "1023 B");
  EXPECT_EQ(write_bytes(1024), "1.0 KiB");
  EXPECT_EQ(write_bytes(1024 * 1024 - 1), "1.0 MiB");
  EXPECT_EQ(write_bytes(UINT64_MAX), "16.0 EiB");
  EXPECT_EQ(write_duration(0), "0 ms");
  EXPECT_EQ(write_duration(999'700'000), "1 s");
  EXPECT_EQ(write_duration(90'000'000'000), "90 s");
  EXPECT_EQ(write_duration(200'000'000'000), "3 min 20 s");
}

TEST(Html, IsOnePageThatEscapesEverything) {
  Report report = sample();
  report.process.argv[0] = "<script>alert('x')</script>";
  report.sites[0].objects[0].target = "\"><img src=x>";
  const Report* one[] = {&report};
  std::string page = render_report_html(one, {});
  EXPECT_TRUE(page.starts_with("<!DOCTYPE html>"));
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  EXPECT_EQ(page.find("<img"), std::string::npos);
  constexpr std::string_view kDrawings = "http://www.w3.org/2000/svg";  // a name, which nothing is loaded from
  page.erase(page.find(kDrawings), kDrawings.size());
  EXPECT_EQ(page.find("http://"), std::string::npos);
  EXPECT_EQ(page.find("https://"), std::string::npos);
  EXPECT_TRUE(has(page, "service::Log::write(std::string const&amp;)"));
  EXPECT_TRUE(has(page, "src/log.cpp:42"));
}

TEST(Diff, SortsChangesApart) {
  Report older = sample();
  Report newer = sample();
  newer.sites[0].live = 10;         // grew: 4 to 11 with its twin
  newer.sites[2].live = 3;          // shrank
  newer.sites[4].signature = 0xee;  // another place
  report::group_places(newer, arena());
  Difference difference = compare(older, newer);
  ASSERT_EQ(difference.grew.size(), 1u);
  EXPECT_EQ(difference.grew[0].old_live, 4u);
  EXPECT_EQ(difference.grew[0].place.live, 11u);
  ASSERT_EQ(difference.shrank.size(), 1u);
  EXPECT_EQ(difference.shrank[0].place.site->kind, ledger::Kind::heap);
  ASSERT_EQ(difference.appeared.size(), 1u);
  ASSERT_EQ(difference.gone.size(), 1u);
  EXPECT_EQ(difference.gone[0].place.site->kind, ledger::Kind::thread);
  std::string text = render_difference(older, newer, difference, plain());
  EXPECT_TRUE(has(text, "grew (1 call site)\n  4 -> 11 (+7)\n"));
  EXPECT_TRUE(has(text, "new (1 call site)\n  1 thread from pthread_create"));
}

TEST(Diff, MoreBytesInAsManyBlocksAreGrowth) {
  Report older = sample();
  Report newer = sample();
  newer.sites[2].bytes += 1000;
  ASSERT_EQ(newer.sites[2].kind, ledger::Kind::heap);
  report::group_places(newer, arena());
  Difference difference = compare(older, newer);
  ASSERT_EQ(difference.grew.size(), 1u);
  EXPECT_EQ(difference.grew[0].place.site->kind, ledger::Kind::heap);
  EXPECT_TRUE(compare(newer, older).grew.empty());
  EXPECT_EQ(compare(newer, older).shrank.size(), 1u);
}

TEST(Diff, ComparesSumsOfGroups) {
  Report older = sample();
  Report newer = sample();
  newer.sites[0].live = 10;
  newer.sites[0].acquired_by = "open";  // the same group, though not of one function any more
  newer.sites[2].live = 0;
  for (Report* one : {&older, &newer}) {
    group(*one, arena(), GroupBy::function);
    report::group_places(*one, arena());
  }
  Difference difference = compare(older, newer, {.by = GroupBy::function});
  ASSERT_EQ(difference.grew.size(), 1u);
  EXPECT_EQ(difference.grew[0].old_live, 3u);
  EXPECT_EQ(difference.grew[0].place.live, 10u);
  EXPECT_TRUE(difference.appeared.empty());
  ASSERT_EQ(difference.gone.size(), 1u);
  EXPECT_EQ(difference.gone[0].place.site->kind, ledger::Kind::heap);
  std::string text = render_difference(older, newer, difference, plain(), {.has_table = true});
  EXPECT_TRUE(has(text, "grew (1 group)\n  before  now  change  kind  from"));
  EXPECT_TRUE(
      has(text, "\n       3   10      +7  fd    open  service::Log::write(std::string const&) (src/log.cpp)\n"));
  EXPECT_TRUE(has(text, "gone (1 group)\n"));
  EXPECT_TRUE(has(text, "\n      12    0     -12  1.2 MiB -> 0 B  heap")) << text;
}

TEST(Diff, ComparesByBytes) {
  Report older = sample();
  Report newer = sample();
  newer.sites[2].live -= 2;
  newer.sites[2].bytes += 1000;
  report::group_places(newer, arena());
  ASSERT_EQ(compare(older, newer).shrank.size(), 1u);
  Difference difference = compare(older, newer, {.by_bytes = true});
  ASSERT_EQ(difference.grew.size(), 1u);
  EXPECT_TRUE(has(render_difference(older, newer, difference, plain(), {.least = 1000}), "grew (1 call site)"));
  std::string text = render_difference(older, newer, difference, plain(), {.least = 1024});
  EXPECT_TRUE(has(text, "1 change of less than 1.0 KiB is not shown")) << text;
}

TEST(Diff, LeavesOutKindsThatHoldNothing) {
  Report older = sample();
  Report newer = sample();
  auto& before = older.totals[report::index_of(report::Subject::fd)];
  auto& now = newer.totals[report::index_of(report::Subject::fd)];
  (*before)[report::Counter::live] = 0;
  EXPECT_TRUE(has(render_difference(older, newer, compare(older, newer), plain()), "  fd      0 -> 5 held\n"));
  (*now)[report::Counter::live] = 0;
  EXPECT_FALSE(has(render_difference(older, newer, compare(older, newer), plain()), "  fd "));
}

TEST(Diff, FindsNoDifferenceWhereThereIsNone) {
  Difference difference = compare(sample(), sample());
  EXPECT_FALSE(difference.is_worse());
  EXPECT_TRUE(has(render_difference(sample(), sample(), difference, plain()), "no differences"));
}

RuleOutcome judge(const char* text, const Report& report) {
  report::RuleSet rules;
  report::ParseError error;
  EXPECT_TRUE(report::parse_rules(text, rules, error)) << text;
  return report::evaluate_rule(rules.rules[0], report);
}

TEST(Rules, GiveTheRunsAnswers) {
  EXPECT_TRUE(judge("fd>3", sample()).broken);
  EXPECT_FALSE(judge("fd>4", sample()).broken) << "one of the five is suppressed";
  EXPECT_EQ(judge("fd>0", sample()).value, 4u);
  EXPECT_TRUE(judge("site.fd>=4", sample()).broken) << "two stacks of one place";
  EXPECT_FALSE(judge("site.fd>4", sample()).broken);
  EXPECT_TRUE(judge("heap.bytes>1M", sample()).broken);
  EXPECT_EQ(judge("thread.running>0", sample()).value, 2u);
  EXPECT_TRUE(judge("fd.unattributed>0", sample()).broken);
}

TEST(Rules, AreNoPassWhereNothingIsKnown) {
  Report without = sample();
  without.coverage[0] = ledger::Coverage::off;
  without.coverage[1] = ledger::Coverage::unavailable;
  EXPECT_FALSE(judge("fd>0", without).is_checked());
  EXPECT_FALSE(judge("heap>0", without).is_checked());
  EXPECT_FALSE(judge("fd>0", Report{}).is_checked());
  Report unreconciled = sample();
  unreconciled.reconciled = false;
  EXPECT_FALSE(judge("fd.unattributed>0", unreconciled).is_checked());
  EXPECT_TRUE(judge("fd>0", unreconciled).is_checked());
}

}  // namespace
}  // namespace unfreed::render
