// What `unfreed top` shows, and what its keys do: reports in, lines out. No terminal is there.
#include "render/top_view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "evaluate/places.h"
#include "render/function_names.h"

namespace unfreed::render {
namespace {

using ledger::Kind;
using report::Report;

constexpr uint64_t kSecond = 1'000'000'000;
constexpr size_t kLines = 24, kColumns = 80;

struct Held {
  uint64_t id;
  std::string_view function;
  uint64_t number;  ///< of the heap: bytes
  Kind kind = Kind::fd;
};

struct Owned {
  base::Arena arena;
  Report report;
};

void make_report(const std::vector<Held>& sites, Owned& out) {
  Report& report = out.report;
  report.trigger = report::Trigger::snapshot;
  for (const Held& one : sites) {
    report::Call* call = report.stacks.calls.add(out.arena);
    call->module = "/usr/bin/program";
    call->offset = one.id;
    report::Frame frame;
    frame.function = one.function;
    call->frames.add(out.arena, frame);
    report.stacks.nodes.add(out.arena, {report.stacks.calls.size(), 0});
    report::Site* site = report.sites.add(out.arena);
    site->kind = one.kind;
    site->id = site->signature = one.id;
    site->acquired_by = one.kind == Kind::heap ? "malloc" : "open";
    bool is_heap = one.kind == Kind::heap;
    site->live = site->total = is_heap ? one.number / 16 : one.number;
    site->bytes = is_heap ? one.number : 0;
    site->stack = report.stacks.nodes.size();
    auto& totals = report.totals[report::index_of(static_cast<report::Subject>(one.kind))];
    if (!totals) totals.emplace();
    (*totals)[report::Counter::live] += site->live;
    (*totals)[report::Counter::bytes] += site->bytes;
  }
  report::group_places(report, out.arena);
}

TopProcess process(int pid, const std::string& name, uint64_t descriptors, uint64_t heap = 0) {
  TopProcess one;
  one.key = std::to_string(pid) + "-1";
  one.pid = pid;
  one.name = one.command = name;
  one.running_ns = kSecond;
  one.held[static_cast<size_t>(Kind::fd)] = one.open = descriptors;
  one.held[static_cast<size_t>(Kind::heap)] = heap;
  one.limit = 1024;
  return one;
}

std::string text_of(const std::vector<ScreenLine>& lines) {
  std::string text;
  for (const ScreenLine& line : lines) {
    for (const Span& span : line) text += span.text;
    text += "\n";
  }
  return text;
}

testing::AssertionResult has(const std::string& text, const std::string& part) {
  if (text.find(part) != text.npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "no \"" << part << "\" in:\n" << text;
}

class Top : public testing::Test {
 protected:
  void look(uint64_t seconds, const std::vector<TopProcess>& processes) { view.look(seconds * kSecond, processes); }
  /// At the process that is selected.
  void look_at_sites(uint64_t seconds, const std::vector<Held>& sites) {
    ASSERT_NE(view.selected(), nullptr);
    Owned& made = reports.emplace_back();
    make_report(sites, made);
    view.look(seconds * kSecond, view.selected()->last.key, made.report, made.arena);
  }
  std::string shown(size_t lines = kLines, size_t columns = kColumns) { return text_of(view.draw(lines, columns)); }
  TopAction press(std::string_view keys) {
    TopAction action = TopAction::none;
    for (char key : keys) action = view.press(static_cast<unsigned char>(key));
    return action;
  }
  /// The place of a text in what is shown, by its line; -1: it is not there.
  int line_of(const std::string& part) {
    std::vector<ScreenLine> lines = view.draw(kLines, kColumns);
    for (size_t at = 0; at < lines.size(); ++at)
      if (text_of({lines[at]}).find(part) != std::string::npos) return static_cast<int>(at);
    return -1;
  }

  std::deque<Owned> reports;
  TopView view{kSecond, PathShortener("/srv", "/home/me")};
};

TEST(Tally, SaysHowFastANumberChangesOfLate) {
  Tally tally;
  tally.look(1 * kSecond, 100);
  EXPECT_FALSE(tally.per_second().has_value());
  tally.look(2 * kSecond, 103);
  EXPECT_DOUBLE_EQ(*tally.per_second(), 3);
  EXPECT_EQ(tally.growth(), 3);
  for (uint64_t second = 3; second < 40; ++second) tally.look(second * kSecond, 103);
  EXPECT_DOUBLE_EQ(*tally.per_second(), 0) << "what was long ago does not count";
  EXPECT_EQ(tally.growth(), 3) << "but since the first look it has grown";
  tally.look(40 * kSecond, 93);
  EXPECT_DOUBLE_EQ(*tally.per_second(), -1);
  EXPECT_EQ(tally.growth(), -7);
}

TEST(Tally, KnowsTheRateWhereLooksAreRare) {
  Tally tally;
  tally.look(100 * kSecond, 0);
  tally.look(200 * kSecond, 50);
  tally.look(300 * kSecond, 250);
  EXPECT_DOUBLE_EQ(*tally.per_second(), 2);
}

TEST(Tally, WhatIsNewHasGrownFromNothing) {
  Tally tally;
  tally.look(5 * kSecond, 8, 3 * kSecond);
  EXPECT_EQ(tally.growth(), 8);
  EXPECT_DOUBLE_EQ(*tally.per_second(), 4);
}

TEST(Tally, IsWrittenAsPeopleReadIt) {
  EXPECT_EQ(write_rate({}, Kind::fd), "");
  EXPECT_EQ(write_rate(0, Kind::fd), "");
  EXPECT_EQ(write_rate(3.5, Kind::fd), "+3.5/s");
  EXPECT_EQ(write_rate(-2, Kind::fd), "-2/s");
  EXPECT_EQ(write_rate(0.2, Kind::fd), "+12/min");
  EXPECT_EQ(write_rate(1234.4, Kind::fd), "+1,234/s");
  EXPECT_EQ(write_rate(2048, Kind::heap), "+2.0 KiB/s");
  EXPECT_EQ(write_change(0, Kind::fd), "");
  EXPECT_EQ(write_change(1340, Kind::fd), "+1,340");
  EXPECT_EQ(write_change(-2048, Kind::heap), "-2.0 KiB");
}

TEST(TopSites, GrowthIsJudgedAfterTwelveLooksAndMemoryStaysBounded) {
  TopSites sites;
  std::deque<Owned> reports;
  constexpr uint64_t kLooks = 2000;
  for (uint64_t look = 1; look <= kLooks; ++look) {
    if (reports.size() > 1) reports.pop_front();
    Owned& made = reports.emplace_back();
    make_report({{1, "leaks", look}, {2, "stays", 7}}, made);
    sites.look(look * kSecond, kSecond, 1024, made.report, made.arena);
    ASSERT_EQ(sites.rows().size(), 2u);
    if (look > 5 && look < 12) {
      const auto& growth = sites.rows()[0].place.growth;
      EXPECT_TRUE(!growth || growth->course == report::Course::unknown) << look;
    }
    // Also after looks have been left out, it still grows at the same pace.
    if (look != 40 && look % 500 != 0) continue;
    for (const TopSiteRow& row : sites.rows()) {
      bool leaks = row.place.site->id == 1;
      ASSERT_EQ(row.place.growth.has_value(), leaks) << look << ": of what does not change there is nothing to say";
      if (leaks) {
        EXPECT_EQ(row.place.growth->course, report::Course::grows) << look;
        EXPECT_NEAR(static_cast<double>(row.place.growth->per_day), 86400, 900) << look;
      }
      EXPECT_EQ(row.tally.growth(), leaks ? static_cast<int64_t>(look) - 1 : 0);
    }
  }
}

TEST_F(Top, ShowsProcessesTheirSitesAndAStack) {
  look(1, {process(11, "server", 10), process(12, "worker", 3)});
  look_at_sites(1, {{1, "open_log", 8}, {2, "accept_client", 2}});
  look(3, {process(11, "server", 16), process(12, "worker", 3)});
  look_at_sites(3, {{1, "open_log", 14}, {2, "accept_client", 2}});
  std::string text = shown();
  EXPECT_TRUE(has(text, "2 processes"));
  EXPECT_TRUE(has(text, "server"));
  EXPECT_TRUE(has(text, "worker"));
  EXPECT_TRUE(has(text, "+3/s")) << "its descriptors, and those of the call site";
  EXPECT_TRUE(has(text, "16 of 1,024"));
  EXPECT_TRUE(has(text, "+6"));
  EXPECT_TRUE(has(text, "open_log"));
  EXPECT_TRUE(has(text, "14 descriptors from open"));
  EXPECT_EQ(text.substr(text.rfind('\n', text.size() - 2)).find("…"), std::string::npos) << "80 columns show the keys";
}

TEST_F(Top, FitsEveryScreen) {
  std::vector<TopProcess> processes;
  for (int pid = 1; pid < 60; ++pid)
    processes.push_back(process(pid, "a-program-of-a-rather-long-name-\u00e4\u4e2d", 5));
  look(1, processes);
  std::vector<Held> sites;
  for (uint64_t id = 1; id < 90; ++id) sites.push_back({id, "namespace_of::some_function(std::string const&)", id});
  look_at_sites(1, sites);
  for (const char* keys : {"", "\t", "?", "q\n", "q/"})
    for (size_t lines : {1, 5, 6, 10, 15, 16, 19, 20, 24, 70})
      for (size_t columns : {1, 10, 40, 60, 80, 200}) {
        if (lines == 1 && columns == 1) press(keys);
        std::vector<ScreenLine> drawn = view.draw(lines, columns);
        EXPECT_EQ(drawn.size(), lines) << columns;
        for (const ScreenLine& line : drawn) {
          std::string text = text_of({line});
          text.pop_back();
          EXPECT_LE(columns_of(text), columns) << text;
        }
      }
}

TEST_F(Top, WhatIsSelectedStaysSelected) {
  look(1, {process(11, "one", 1), process(12, "two", 2), process(13, "three", 3)});
  view.press(kKeyDown);
  ASSERT_EQ(view.selected()->last.pid, 12);
  look(2, {process(5, "new", 1), process(11, "one", 1), process(12, "two", 2)});
  EXPECT_EQ(view.selected()->last.pid, 12);
  // The list goes by what is sorted, the selection by what it is.
  for (int times = 0; times < 3; ++times) press("s");
  EXPECT_EQ(view.selected()->last.pid, 12);
}

TEST_F(Top, AProcessThatEndsIsShownForAWhile) {
  look(1, {process(11, "one", 1), process(12, "two", 2)});
  look_at_sites(1, {{1, "open_log", 1}});
  look(2, {process(12, "two", 2)});
  EXPECT_TRUE(has(shown(), "(ended) one"));
  EXPECT_TRUE(has(shown(), "one (pid 11) has ended; what it held last"));
  EXPECT_TRUE(has(shown(), "open_log"));
  look(60, {process(12, "two", 2)});
  EXPECT_TRUE(has(shown(), "(ended) one")) << "it is selected";
  EXPECT_GT(line_of("(ended) one"), line_of(" two")) << "those that run come first";
  EXPECT_EQ(view.running(), (std::vector<std::string>{"12-1"}));
  view.press(kKeyUp);
  look(61, {process(12, "two", 2)});
  EXPECT_EQ(shown().find("(ended)"), std::string::npos);
  EXPECT_EQ(view.selected()->last.pid, 12);
  look(62, {});
  look(200, {});
  EXPECT_EQ(view.press('g'), TopAction::none);
  EXPECT_TRUE(has(shown(), "two")) << "the last one, which is selected";
}

TEST_F(Top, FiltersByARegularExpression) {
  look(1, {process(11, "server", 1), process(12, "worker", 2)});
  press("/work\n");
  EXPECT_EQ(view.selected()->last.pid, 12);
  EXPECT_EQ(shown().find("server"), std::string::npos);
  EXPECT_TRUE(has(shown(), "matching 'work'"));
  press("/(\n");
  EXPECT_TRUE(has(shown(), "'work(' is no regular expression"));
  EXPECT_TRUE(has(shown(), "matching 'work'")) << "the one before stays";
  press("/");
  view.press('U' - '@');
  press("nothing\n");
  EXPECT_EQ(view.selected(), nullptr);
  EXPECT_TRUE(has(shown(), "no process matches"));
  press("/");
  for (int times = 0; times < 20; ++times) view.press(kKeyErase);
  press("\n");
  EXPECT_TRUE(has(shown(), "server"));
  // Escape leaves the prompt, not the command, and nothing is filtered.
  press("/x");
  EXPECT_EQ(view.press(kKeyEscape), TopAction::none);
  EXPECT_TRUE(has(shown(), "server"));
  EXPECT_EQ(press("q"), TopAction::quit) << "the prompt is gone";
}

TEST_F(Top, IsFrozenUntilTheKeyIsPressedAgain) {
  look(1, {process(11, "server", 10)});
  EXPECT_FALSE(view.is_frozen());
  for (const char* key : {"f", " "}) {
    press(key);
    EXPECT_TRUE(view.is_frozen());
    EXPECT_TRUE(has(shown(), "FROZEN (f: go on)"));
    press(key);
    EXPECT_FALSE(view.is_frozen());
    EXPECT_EQ(shown().find("FROZEN"), std::string::npos);
  }
}

TEST_F(Top, FiltersAndSortsCallSites) {
  look(1, {process(11, "server", 20, 4096)});
  look_at_sites(1, {{1, "many", 12}, {2, "few", 3}, {3, "blocks", 65536, Kind::heap}});
  look_at_sites(2, {{1, "many", 12}, {2, "few", 9}, {3, "blocks", 65536, Kind::heap}});
  press("\t");
  press("s");  // growth
  ASSERT_GE(line_of("few"), 0);
  EXPECT_LT(line_of("few"), line_of("many"));
  press("r");
  EXPECT_GT(line_of("few"), line_of("many"));
  press("rS");
  press("/blocks\n");
  EXPECT_TRUE(has(shown(), "blocks"));
  EXPECT_EQ(line_of("many"), -1);
  press("/");
  view.press('U' - '@');
  press("\n");
  press("t");
  EXPECT_TRUE(has(shown(), "only fd"));
  EXPECT_EQ(line_of("blocks"), -1);
  press("t");
  EXPECT_TRUE(has(shown(), "only heap"));
  EXPECT_EQ(line_of("many"), -1);
  press("t");
  EXPECT_GE(line_of("blocks"), 0);
  EXPECT_GE(line_of("many"), 0);
}

TEST_F(Top, ShowsAWholeStackAndTheHelp) {
  look(1, {process(11, "server", 2)});
  look_at_sites(1, {{1, "open_log", 2}});
  press("\n\n");
  EXPECT_TRUE(has(shown(), "every frame:"));
  EXPECT_EQ(press("q"), TopAction::none) << "leaves the page only";
  press("?");
  EXPECT_TRUE(has(shown(), "Keys"));
  view.press(kKeyEnd);
  EXPECT_TRUE(has(shown(), "AGE"));
  view.press(kKeyEscape);
  EXPECT_TRUE(has(shown(), "open_log"));
  EXPECT_EQ(press("q"), TopAction::quit);
}

TEST_F(Top, AsksBeforeItSendsASignal) {
  EXPECT_EQ(press("g"), TopAction::none) << "there is no process";
  EXPECT_EQ(press("w"), TopAction::none);
  look(1, {process(11, "server", 2)});
  press("g");
  EXPECT_TRUE(has(shown(), "(y/n)"));
  EXPECT_EQ(press("n"), TopAction::none);
  EXPECT_EQ(press("gy"), TopAction::grade);
  EXPECT_EQ(press("w"), TopAction::save);
  EXPECT_EQ(press("y"), TopAction::none);
}

TEST_F(Top, NamesCannotSteerTheTerminal) {
  TopProcess evil = process(11, "e\x1b]0;evil\x07", 2);
  evil.command = "e\x1b[2J\u202egnp.exe";
  look(1, {evil});
  look_at_sites(1, {{1, "f\r\x1b[2J", 2}});
  press("/\x1b");
  view.say(
      "a\x1b"
      "b");
  for (const std::string& text : {shown(), view.write_processes(kColumns), view.write_sites({})}) {
    for (const char* bad : {"\x1b", "\x07", "\r", "\u202e"}) EXPECT_EQ(text.find(bad), std::string::npos) << text;
    EXPECT_TRUE(has(text, "\\x1b"));
  }
}

TEST_F(Top, EachProcessCanBeWritten) {
  look(1, {process(11, "server", 2), process(12, "worker", 3)});
  std::string text;
  for (const std::string& key : view.running()) {
    view.select(key);
    look_at_sites(1, {{1, key == "11-1" ? "open_log" : "open_job", 2}});
    text += view.write_sites({});
  }
  EXPECT_TRUE(has(text, "server (pid 11): 1 call site"));
  EXPECT_TRUE(has(text, "open_log"));
  EXPECT_TRUE(has(text, "worker (pid 12): 1 call site"));
  EXPECT_TRUE(has(text, "open_job"));
}

TEST_F(Top, IsWrittenAsText) {
  look(1, {process(11, "server", 2)});
  look_at_sites(1, {{1, "open_log", 2}, {2, "other", 1}});
  EXPECT_TRUE(has(view.write_processes(150), "server"));
  TextOptions options;
  options.most_sites = 1;
  EXPECT_TRUE(has(view.write_sites(options), "open_log"));
  EXPECT_TRUE(has(view.write_sites(options), "and 1 more call site\n"));
}

TEST_F(Top, ReportsCanGo) {
  look(1, {process(11, "server", 2)});
  look_at_sites(1, {{1, "open_log", 2}});
  view.forget_sites();
  reports.clear();
  EXPECT_TRUE(has(shown(), "server"));
  look_at_sites(3, {{1, "open_log", 4}});
  EXPECT_TRUE(has(shown(), "+2")) << "what was known of its growth is still";
}

}  // namespace
}  // namespace unfreed::render
