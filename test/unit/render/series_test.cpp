// Series: what is written comes back, from whatever part of it is there.
#include "render/series.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "evaluate/evaluate.h"

namespace unfreed::render {
namespace {

using report::Counter;
using report::Report;

constexpr uint64_t kSecond = 1'000'000'000;

struct Owned {
  base::Arena arena;
  Report report;
};

struct Held {
  uint64_t id;
  uint64_t live;
};

/// A look at a process whose sites hold so many descriptors.
void make_look(const std::vector<Held>& sites, Owned& out, ledger::Coverage coverage = ledger::Coverage::exact) {
  out.report.trigger = report::Trigger::snapshot;
  out.report.coverage[0] = coverage;
  report::Totals& totals = out.report.totals[report::index_of(report::Subject::fd)].emplace();
  for (const Held& one : sites) {
    report::Call* call = out.report.stacks.calls.add(out.arena);
    call->module = "/usr/bin/program";
    call->offset = one.id;
    out.report.stacks.nodes.add(out.arena, {out.report.stacks.calls.size(), 0});
    report::Site* site = out.report.sites.add(out.arena);
    site->id = one.id;
    site->signature = one.id;
    site->acquired_by = "open";
    site->live = site->total = one.live;
    site->stack = out.report.stacks.nodes.size();
    totals[Counter::live] += one.live;
  }
}

class Recorder {
 public:
  void look(const std::vector<Held>& sites, ledger::Coverage coverage = ledger::Coverage::exact) {
    Owned plain, full;
    make_look(sites, plain, coverage);
    make_look(sites, full, coverage);
    bool needs_full = key_.empty() || writer_.needs_full(plain.report);
    key_ = "1-2-3";
    text_ += writer_.add(++looks_ * kSecond, key_, 1024, plain.report, needs_full ? &full.report : nullptr);
  }
  void continue_by_another() {
    writer_ = SeriesWriter();
    key_.clear();
  }
  const std::string& text() const { return text_; }

 private:
  SeriesWriter writer_;
  std::string key_;
  std::string text_{kSeriesStart};
  uint64_t looks_ = 0;
};

uint64_t live_of(const Report& report, uint64_t id) {
  for (const report::Site& site : report.sites)
    if (site.id == id) return site.live;
  return UINT64_MAX;
}

void read(const std::string& text, Owned& out, Series& series) {
  std::string error;
  ASSERT_TRUE(read_series(text, out.arena, out.report, series, error)) << error;
}

using Values = std::vector<uint64_t>;

TEST(Series, SitesComeAndGo) {
  Recorder recorder;
  recorder.look({{5, 2}, {6, 7}});
  recorder.look({{5, 3}, {6, 7}});
  recorder.look({{5, 3}, {9, 1}});
  recorder.look({{6, 4}});
  Owned out;
  Series series;
  read(recorder.text(), out, series);
  EXPECT_EQ(series.times_ns.size(), 4u);
  EXPECT_EQ(series.sites[5].at_looks(4), (Values{2, 3, 3, 0}));
  EXPECT_EQ(series.sites[6].at_looks(4), (Values{7, 7, 0, 4}));
  EXPECT_EQ(series.sites[9].at_looks(4), (Values{0, 0, 1, 0}));
  EXPECT_EQ(series.kinds[0].at_looks(4), (Values{9, 10, 4, 4}));
  EXPECT_EQ(series.limit, 1024u);
  EXPECT_EQ(live_of(out.report, 6), 4u);
  EXPECT_EQ(live_of(out.report, 9), 0u);
  for (const report::Site& site : out.report.sites) {
    ASSERT_TRUE(site.stack && site.stack <= out.report.stacks.nodes.size());
    EXPECT_EQ(out.report.stacks.calls[out.report.stacks.nodes[site.stack - 1].call - 1].offset, site.id);
  }
}

TEST(Series, AnyStartOfItCanBeRead) {
  Recorder recorder;
  for (uint64_t look = 0; look < 20; ++look) recorder.look({{5, look + 1}, {100 + look, 1}});
  size_t least = recorder.text().find("\nL ");
  for (size_t length = kSeriesStart.size(); length <= recorder.text().size(); length += 7) {
    Owned out;
    Series series;
    std::string error, part = recorder.text().substr(0, length);
    bool has_look = length > least && part.find('\n', least + 1) != part.npos;
    ASSERT_EQ(read_series(part, out.arena, out.report, series, error), has_look) << length;
    if (!has_look) continue;
    EXPECT_EQ(live_of(out.report, 5), series.times_ns.size());
  }
}

TEST(Series, AnotherWriterGoesOn) {
  Recorder recorder;
  recorder.look({{5, 2}, {6, 7}});
  recorder.continue_by_another();
  recorder.look({{5, 3}, {7, 1}});
  Owned out;
  Series series;
  read(recorder.text(), out, series);
  EXPECT_EQ(series.sites[5].at_looks(2), (Values{2, 3}));
  EXPECT_EQ(series.sites[6].at_looks(2), (Values{7, 0}));
  EXPECT_EQ(series.sites[7].at_looks(2), (Values{0, 1}));
  EXPECT_EQ(live_of(out.report, 6), 0u);
}

TEST(Series, CoverageThatIsLostIsSaid) {
  Recorder recorder;
  for (uint64_t look = 0; look < 15; ++look) recorder.look({{5, 1}});
  recorder.look({{5, 1}}, ledger::Coverage::partial);
  Owned out;
  std::string error;
  ASSERT_TRUE(read_series(recorder.text(), out.arena, out.report, error)) << error;
  EXPECT_EQ(out.report.watch->looks, 16u);
  EXPECT_EQ(out.report.coverage[0], ledger::Coverage::partial);
  report::RuleSet rules;
  report::ParseError problem;
  ASSERT_TRUE(parse_rules("fd.growth>1/h", rules, problem));
  EXPECT_FALSE(report::evaluate_rule(rules.rules[0], out.report).is_checked());
}

TEST(Series, NoRulePassesOnSitesThatItDoesNotHave) {
  Recorder recorder;
  for (uint64_t look = 0; look < 15; ++look) recorder.look({{5, 1}});
  Owned out;
  std::string error;
  ASSERT_TRUE(read_series(recorder.text(), out.arena, out.report, error)) << error;
  report::RuleSet rules;
  report::ParseError problem;
  ASSERT_TRUE(parse_rules("site.fd.total>9,site.fd.peak>9,fd.lost>0,site.fd>9,fd.growth>1/h", rules, problem));
  std::vector<bool> checked;
  for (const report::Rule& rule : rules.all()) checked.push_back(report::evaluate_rule(rule, out.report).is_checked());
  EXPECT_EQ(checked, (std::vector<bool>{false, false, false, true, true}));
}

/// Something larger hides it in the sum: a cache that fills first, or what comes and goes.
TEST(Series, AKindGrowsIfOneOfItsSitesDoes) {
  struct Case {
    uint64_t (*larger)(uint64_t look);
    report::Course without_leak;
  };
  constexpr Case kCases[] = {
      {[](uint64_t look) { return std::min<uint64_t>(look, 30) * 10; }, report::Course::levels_off},
      {[](uint64_t look) { return look % 17 * 100; }, report::Course::steady},
  };
  for (const Case& one : kCases) {
    for (uint64_t leak : {1, 0}) {
      Recorder recorder;
      for (uint64_t look = 0; look < 60; ++look) recorder.look({{5, 1 + leak * look}, {6, one.larger(look)}});
      Owned out;
      std::string error;
      ASSERT_TRUE(read_series(recorder.text(), out.arena, out.report, error)) << error;
      report::RuleSet rules;
      report::ParseError problem;
      ASSERT_TRUE(parse_rules("fd.growth>10/h", rules, problem));
      EXPECT_EQ(report::evaluate_rule(rules.rules[0], out.report).broken, leak == 1);
      const report::Growth& kind = out.report.watch->kinds[0].growth;
      EXPECT_EQ(kind.course, leak ? report::Course::grows : one.without_leak);
      EXPECT_EQ(kind.per_day, leak * 86400) << "one a second: that of the site that grows";
    }
  }
}

TEST(Series, AKindDoesNotGrowWhereOneSiteTakesOverFromAnother) {
  Recorder recorder;
  for (uint64_t look = 0; look < 60; ++look) recorder.look({{5, 10 + look}, {6, 100 - look}});
  Owned out;
  std::string error;
  ASSERT_TRUE(read_series(recorder.text(), out.arena, out.report, error)) << error;
  EXPECT_EQ(out.report.watch->kinds[0].growth.course, report::Course::steady);
}

}  // namespace
}  // namespace unfreed::render
