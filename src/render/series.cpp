#include "render/series.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "base/scan.h"
#include "evaluate/evaluate.h"
#include "evaluate/places.h"
#include "render/json.h"
#include "render/quantities.h"
#include "render/read_json.h"

namespace unfreed::render {

namespace {

using report::Counter;
using report::Report;
using report::Site;
using report::StackId;

/// Written by looks. What suppressions cover is known in reports with names only.
bool is_in_looks(const report::CounterRow& row) {
  return !row.name.starts_with("suppressed") && row.name != report::row_of(Counter::growth).name;
}

/// One line, whatever its layout.
std::string on_one_line(std::string json) {
  std::replace(json.begin(), json.end(), '\n', ' ');
  return json;
}

/// Leaves in the table of stacks only those of the report's sites.
void keep_used_stacks(Report& report, base::Arena& arena) {
  report::Stacks used;
  std::vector<bool> is_used(report.stacks.nodes.size() + 1);
  for (const Site& site : report.sites)
    for (StackId node = site.stack; node && node < is_used.size() && !is_used[node];
         node = report.stacks.nodes[node - 1].caller)
      is_used[node] = true;
  std::vector<StackId> nodes(is_used.size());
  std::map<report::CallId, report::CallId> calls;
  for (StackId node = 1; node < is_used.size(); ++node) {
    if (!is_used[node]) continue;
    report::Node one = report.stacks.nodes[node - 1];
    if (one.call && one.call <= report.stacks.calls.size()) {
      auto [call, is_new] = calls.try_emplace(one.call, used.calls.size() + 1);
      if (is_new) used.calls.add(arena, report.stacks.calls[one.call - 1]);
      one.call = call->second;
    }
    one.caller = nodes[one.caller];
    used.nodes.add(arena, one);
    nodes[node] = used.nodes.size();
  }
  for (Site& site : report.sites) site.stack = site.stack < nodes.size() ? nodes[site.stack] : 0;
  report.stacks = used;
}

/// A report for a series: without what changes from look to look.
std::string write_sites(Report& report, const std::set<uint64_t>& wanted) {
  base::Arena arena;
  uint32_t kept = 0;
  for (Site& site : report.sites) {
    if (!wanted.contains(site.id)) continue;
    site.objects.clear();
    site.objects_omitted = 0;
    site.ages.clear();
    report.sites[kept++] = site;
  }
  report.sites.shrink(kept);
  report.places.clear();
  report.retention.clear();
  report.descriptors.clear();
  report.threads.clear();
  report.threads_omitted = 0;
  report.children.clear();
  report.misuse.clear();
  report.exec_leaks.clear();
  report.failures.clear();
  report.rules.clear();
  report.modules.clear();
  keep_used_stacks(report, arena);
  return on_one_line(write_json(report, report::StackForm::file));
}

}  // namespace

// ---- writing ----

bool SeriesWriter::has_same_coverage(const Report& look) const {
  return look.complete == is_complete_ && std::equal(std::begin(coverage_), std::end(coverage_), look.coverage);
}

bool SeriesWriter::needs_full(const Report& look) const {
  return key_.empty() || !has_same_coverage(look) ||
         std::any_of(look.sites.begin(), look.sites.end(),
                     [&](const Site& site) { return !known_.contains(site.id) && site.live + site.running; });
}

std::string SeriesWriter::add(uint64_t now_ns, std::string_view key, uint64_t limit, const Report& look, Report* full) {
  bool is_first = key_ != key || !has_same_coverage(look);
  if (is_first) *this = SeriesWriter();
  key_ = key;
  std::copy(std::begin(look.coverage), std::end(look.coverage), coverage_);
  is_complete_ = look.complete;
  std::string text;
  if (full) {
    std::set<uint64_t> wanted;
    for (const Site& site : full->sites)
      if (!known_.contains(site.id) && site.live + site.running) {
        wanted.insert(site.id);
        known_[site.id] = Numbers();  // whatever it is, the look says it
      }
    std::string json = write_sites(*full, wanted);
    text = is_first ? fmt::format("R {} {} {}\n", key, now_ns, json) : fmt::format("A {}\n", json);
  }
  text += fmt::format("L {}", now_ns);
  for (size_t at = 0; at < report::kSubjectCount; ++at) {
    const report::Totals* totals = look.totals_of(static_cast<report::Subject>(at));
    if (!totals) continue;
    report::Totals::each_of(static_cast<report::Subject>(at), [&](Counter counter, const report::CounterRow& row) {
      if (!is_in_looks(row) || (!is_first && (*totals)[counter] == totals_[at][counter])) return;
      text += fmt::format(" {}.{}={}", report::kSubjects[at].name, row.name, (*totals)[counter]);
    });
    totals_[at] = *totals;
  }
  if (limit != limit_) text += fmt::format(" limit={}", limit);
  limit_ = limit;
  text += " |";
  std::set<uint64_t> gone;
  for (const auto& [id, numbers] : known_) gone.insert(id);
  auto write = [&](uint64_t id, const Numbers& numbers) {
    text += fmt::format(" {}:{},{},{},{}", id, numbers.live, numbers.running, numbers.bytes, numbers.total);
    known_[id] = numbers;
  };
  for (const Site& site : look.sites) {
    auto known = known_.find(site.id);
    if (known == known_.end()) continue;  // it holds nothing, and has not
    gone.erase(site.id);
    if (!known->second.is_same(numbers_of(site))) write(site.id, numbers_of(site));
  }
  for (uint64_t id : gone)
    if (!known_[id].is_same(Numbers())) write(id, {0, 0, 0, known_[id].total});
  return text + "\n";
}

// ---- reading ----

void Steps::set(size_t look, uint64_t value) {
  if (!steps_.empty() && steps_.back().first == look)
    steps_.back().second = value;
  else if (steps_.empty() || steps_.back().second != value)
    steps_.emplace_back(look, value);
}

std::vector<uint64_t> Steps::at_looks(size_t looks) const {
  std::vector<uint64_t> values(looks);
  for (size_t at = 0; at < steps_.size(); ++at) {
    size_t end = at + 1 < steps_.size() ? std::min(steps_[at + 1].first, looks) : looks;
    for (size_t look = steps_[at].first; look < end; ++look) values[look] = steps_[at].second;
  }
  return values;
}

void Steps::halve() {
  Steps left;
  for (const auto& [look, value] : steps_) left.set((look + 1) / 2, value);
  *this = left;
}

void halve(Series& series) {
  for (auto& [id, steps] : series.sites) steps.halve();
  for (Steps& steps : series.kinds) steps.halve();
  for (size_t at = 0; at < series.times_ns.size(); at += 2) series.times_ns[at / 2] = series.times_ns[at];
  series.times_ns.resize((series.times_ns.size() + 1) / 2);
}

uint64_t watched_total(ledger::Kind kind, const report::Totals& totals) {
  if (kind == ledger::Kind::heap) return totals.counted(Counter::bytes);
  return totals.counted(Counter::live) + totals.counted(Counter::running);
}

namespace {

void set_kinds(Series& series, size_t look, const Report& report) {
  for (size_t at = 0; at < ledger::kKindCount; ++at)
    if (const auto& totals = report.totals[at])
      series.kinds[at].set(look, watched_total(static_cast<ledger::Kind>(at), *totals));
  if (const auto& totals = report.totals[report::index_of(report::Subject::fd)]) series.open = (*totals)[Counter::open];
}

}  // namespace

void add_look(Series& series, uint64_t now_ns, uint64_t limit, const Report& report) {
  size_t look = series.times_ns.size();
  series.times_ns.push_back(now_ns);
  series.limit = limit;
  std::map<uint64_t, uint64_t> values;
  for (const auto& [id, steps] : series.sites) values[id] = 0;
  for (const Site& site : report.sites) values[site.id] = watched_number(site.kind, site);
  for (const auto& [id, value] : values) series.sites[id].set(look, value);
  set_kinds(series, look, report);
}

namespace {

class SeriesReader {
 public:
  SeriesReader(base::Arena& arena, Report& out, Series& series) : arena_(arena), out_(out), series_(series) {}

  bool read(std::string_view text, std::string& error) {
    text.remove_prefix(kSeriesStart.size());
    for (size_t line = 2; !text.empty(); ++line) {
      size_t end = text.find('\n');
      if (end == text.npos) {
        is_cut_ = true;
        break;
      }
      if (!read_line(text.substr(0, end), error)) {
        error = fmt::format("is no series: line {} {}", line, error);
        return false;
      }
      text.remove_prefix(end + 1);
    }
    if (series_.times_ns.empty()) {
      error = "has no complete look yet";
      return false;
    }
    finish();
    return true;
  }

 private:
  bool read_line(std::string_view line, std::string& error) {
    error = "cannot be read";
    char type = line.empty() ? '\0' : line[0];
    if (line.size() < 2 || line[1] != ' ') return false;
    line.remove_prefix(2);
    if (type == 'A') return !series_.key.empty() && add_report(line, error);
    if (type == 'L') return !series_.key.empty() && add_look(line);
    if (type != 'R') return false;
    std::string_view key = take_word(line);
    uint64_t time = 0;
    if (key.empty() || !base::parse_number(take_word(line), time)) return false;
    if (key == series_.key) return begin_again(line, error);
    left_out_ += series_.times_ns.size();
    series_ = Series();
    index_.clear();
    series_.key = key;
    if (!read_json(line, arena_, out_, error)) return false;
    first_ns_ = time;
    for (uint32_t at = 0; at < out_.sites.size(); ++at) index_[out_.sites[at].id] = at;
    return true;
  }

  /// What is not mentioned from here on holds nothing.
  bool begin_again(std::string_view json, std::string& error) {
    for (Site& site : out_.sites) site.live = site.running = site.bytes = 0;
    has_begun_again_ = true;
    Report again;
    if (!read_json(json, arena_, again, error)) return false;
    std::copy(std::begin(again.coverage), std::end(again.coverage), out_.coverage);
    std::copy(std::begin(again.totals), std::end(again.totals), out_.totals);
    out_.complete = again.complete;
    out_.notes = again.notes;
    add_sites(again);
    return true;
  }

  /// Sites that are new, and their stacks.
  bool add_report(std::string_view json, std::string& error) {
    Report more;
    if (!read_json(json, arena_, more, error)) return false;
    add_sites(more);
    return true;
  }

  void add_sites(const Report& more) {
    uint32_t calls = out_.stacks.calls.size(), nodes = out_.stacks.nodes.size();
    for (const report::Call& call : more.stacks.calls) out_.stacks.calls.add(arena_, call);
    for (report::Node node : more.stacks.nodes) {
      if (node.call) node.call += calls;
      if (node.caller) node.caller += nodes;
      out_.stacks.nodes.add(arena_, node);
    }
    for (Site site : more.sites) {
      if (site.stack) site.stack += nodes;
      auto [at, is_new] = index_.try_emplace(site.id, out_.sites.size());
      if (is_new)
        out_.sites.add(arena_, site);
      else
        out_.sites[at->second] = site;
    }
  }

  bool add_look(std::string_view line) {
    uint64_t time = 0;
    if (!base::parse_number(take_word(line), time) || (!series_.times_ns.empty() && time < series_.times_ns.back()))
      return false;
    look_ = series_.times_ns.size();
    series_.times_ns.push_back(time);
    if (has_begun_again_)
      for (auto& [id, steps] : series_.sites) steps.set(look_, 0);
    has_begun_again_ = false;
    for (std::string_view word = take_word(line); word != "|"; word = take_word(line))
      if (word.empty() || !set_total(word)) return false;
    for (std::string_view word = take_word(line); !word.empty(); word = take_word(line))
      if (!set_site(word)) return false;
    set_kinds(series_, look_, out_);
    return true;
  }

  bool set_total(std::string_view word) {
    size_t equals = word.find('=');
    uint64_t value = 0;
    if (equals == word.npos || !base::parse_number(word.substr(equals + 1), value)) return false;
    std::string_view name = word.substr(0, equals);
    if (name == "limit") {
      series_.limit = value;
      return true;
    }
    size_t dot = name.find('.');
    report::Subject subject;
    if (dot == name.npos) return false;
    if (!report::subject_from_name(name.substr(0, dot), subject)) return true;  // of a later version
    for (size_t at = 0; at < report::kCounterCount; ++at) {
      if (report::kRows[at].name != name.substr(dot + 1)) continue;
      auto& totals = out_.totals[report::index_of(subject)];
      if (!totals) totals.emplace();
      (*totals)[static_cast<Counter>(at)] = value;
    }
    return true;
  }

  bool set_site(std::string_view word) {
    uint64_t id = 0, values[4] = {};
    size_t colon = word.find(':');
    if (colon == word.npos || !base::parse_number(word.substr(0, colon), id)) return false;
    word.remove_prefix(colon + 1);
    for (uint64_t& value : values) {
      size_t comma = word.find(',');
      if (!base::parse_number(word.substr(0, comma), value)) return false;
      word.remove_prefix(comma == word.npos ? word.size() : comma + 1);
    }
    auto found = index_.find(id);
    if (found == index_.end() || !word.empty()) return false;
    Site& site = out_.sites[found->second];
    site.live = values[0];
    site.running = values[1];
    site.bytes = values[2];
    site.total = values[3];
    series_.sites[id].set(look_, watched_number(site.kind, site));
    return true;
  }

  void finish() {
    uint64_t watched = series_.times_ns.back() - series_.times_ns.front();
    if (out_.process.duration_ns && series_.times_ns.back() > first_ns_)
      *out_.process.duration_ns += series_.times_ns.back() - first_ns_;
    for (report::Totals& worst : out_.worst_site) worst = {};
    // Looks do not search for what is lost.
    out_.grading.reset();
    for (Site& site : out_.sites) static_cast<report::Losses&>(site) = {};
    report::regroup_places(out_, arena_);
    auto note = [&](const std::string& text) { out_.notes.add(arena_, arena_.copy(text)); };
    note(fmt::format("from {} over {}", write_number_of(series_.times_ns.size(), "look"), write_duration(watched)));
    if (is_cut_) note("the last look is incomplete in the series, and left out: its writer was killed, or is at work");
    if (left_out_)
      note(fmt::format("{} at another process or program are left out", write_number_of(left_out_, "earlier look")));
  }

  static std::string_view take_word(std::string_view& line) {
    std::string_view word = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(line.size(), word.size() + 1));
    return word;
  }

  base::Arena& arena_;
  Report& out_;
  Series& series_;
  std::map<uint64_t, uint32_t> index_;  ///< of sites, by ID
  uint64_t first_ns_ = 0;
  size_t look_ = 0;
  size_t left_out_ = 0;
  bool is_cut_ = false;
  bool has_begun_again_ = false;
};

}  // namespace

bool read_series(std::string_view text, base::Arena& arena, Report& out, Series& series, std::string& error) {
  return SeriesReader(arena, out, series).read(text, error);
}

bool read_series(std::string_view text, base::Arena& arena, Report& out, std::string& error) {
  Series series;
  if (!read_series(text, arena, out, series, error)) return false;
  add_growth(out, arena, series);
  return true;
}

// ---- growth ----

namespace {

std::vector<Look> looks_of(const Series& series, const std::vector<uint64_t>& values) {
  std::vector<Look> looks;
  for (size_t at = 0; at < values.size(); ++at) looks.push_back({series.times_ns[at], values[at]});
  return looks;
}

/// Of a kind's call sites.
struct Parts {
  report::Growth growing;  ///< those that grow, as one
  double gain = 0;         ///< of them
  double loss = 0;         ///< of others, which may be what they have taken over from
};

/// A kind grows while one of its call sites does: something larger may hide that, which has filled up meanwhile, or
/// comes and goes.
report::KindGrowth growth_of(const Series& series, ledger::Kind kind, const Parts& parts) {
  report::KindGrowth one;
  one.kind = kind;
  size_t looks = series.times_ns.size();
  one.growth = judge_growth(looks_of(series, series.kinds[static_cast<size_t>(kind)].at_looks(looks)));
  const report::Growth& growing = parts.growing;
  if (one.growth.course != report::Course::grows && growing.per_day && parts.loss < parts.gain / 2) {
    one.growth.course = report::Course::grows;
    one.growth.reason = {};
    one.growth.per_day = growing.per_day;
    one.growth.per_day_least = growing.per_day_least;
    one.growth.per_day_most = growing.per_day_most;
  }
  if (kind != ledger::Kind::fd || !series.limit) return one;
  one.limit = series.limit;
  if (one.growth.per_day && series.limit > series.open) {
    double days = static_cast<double>(series.limit - series.open) / static_cast<double>(one.growth.per_day);
    constexpr double kMostDays = 36500;
    one.limit_in_ns = static_cast<uint64_t>(std::min(days, kMostDays) * 86400e9);
  }
  return one;
}

}  // namespace

void add_growth(Report& report, base::Arena& arena, const Series& series) {
  size_t looks = series.times_ns.size();
  if (!looks) return;
  report.watch.emplace();
  report.watch->looks = looks;
  report.watch->duration_ns = series.times_ns.back() - series.times_ns.front();
  std::array<Parts, ledger::kKindCount> parts{};
  for (const report::Place& place : report.places) {
    std::vector<uint64_t> sum(looks);
    for (uint32_t index : place.sites) {
      auto found = series.sites.find(report.sites[index].id);
      if (found == series.sites.end()) continue;
      std::vector<uint64_t> values = found->second.at_looks(looks);
      for (size_t at = 0; at < looks; ++at) sum[at] += values[at];
    }
    bool has_changed = std::any_of(sum.begin(), sum.end(), [&](uint64_t value) { return value != sum[0]; });
    if (!has_changed) continue;
    if (place.sites.empty()) continue;
    std::vector<Look> values = looks_of(series, sum);
    report::Growth growth = judge_growth(values);
    for (uint32_t index : place.sites) report.sites[index].growth = growth;
    Parts& of_kind = parts[static_cast<size_t>(report.sites[place.sites[0]].kind)];
    double shift = shift_of(values);
    if (growth.course != report::Course::grows) {
      of_kind.loss += std::max(-shift, 0.0);
      continue;
    }
    of_kind.gain += shift;
    report::Growth& all = of_kind.growing;
    all.per_day += growth.per_day;
    all.per_day_least += growth.per_day_least;
    all.per_day_most += growth.per_day_most;
  }
  for (size_t at = 0; at < ledger::kKindCount; ++at) {
    auto& totals = report.totals[at];
    if (!totals) continue;
    report::KindGrowth one = growth_of(series, static_cast<ledger::Kind>(at), parts[at]);
    report.watch->kinds.add(arena, one);
    (*totals)[Counter::growth] = one.growth.per_day;
  }
  report::regroup_places(report, arena);
  // The worst first.
  std::vector<Site> sites;
  for (const report::Place& place : report.places)
    for (uint32_t index : place.sites) sites.push_back(report.sites[index]);
  std::copy(sites.begin(), sites.end(), report.sites.begin());
  report::group_places(report, arena);
}

}  // namespace unfreed::render
