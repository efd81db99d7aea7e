#include "render/page_data.h"

#include <fmt/format.h>

#include <algorithm>

#include "render/ages.h"
#include "render/frames.h"
#include "render/function_names.h"
#include "render/growth_text.h"
#include "render/history.h"
#include "render/missing_lines.h"
#include "render/quantities.h"
#include "render/retention.h"
#include "render/series.h"
#include "render/tests.h"
#include "render/text.h"
#include "render/text_parts.h"
#include "render/totals_text.h"
#include "render/views.h"
#include "report/describe.h"

namespace unfreed::render {

using nlohmann::json;
using report::Report;

// ---- stacks ----

namespace {
enum FrameFlag : unsigned { kOwn = 1, kRuntime = 2, kInlined = 4 };
constexpr uint32_t kLinesAround = 6;
/// Of source, in a page.
constexpr size_t kMostSourceBytes = size_t{8} << 20;
}  // namespace

uint64_t PageStacks::add_frame(const StackFrame& frame) {
  auto [known, is_new] = known_frames_.try_emplace(
      {frame.function, frame.file, frame.line, frame.module, frame.offset, frame.inlined}, frames_.size());
  if (!is_new) return known->second;
  std::string where = frame.module.empty() ? "" : fmt::format("{}+{:#x}", printable(frame.module), frame.offset);
  std::string place = printable(base_name(where));
  if (!frame.file.empty()) {
    place = options_.paths.shorten(frame.file);
    if (frame.line) place += fmt::format(":{}", frame.line);
  }
  std::string name = printable(frame.function);
  if (name.empty()) name = place.empty() ? "?" : printable(base_name(where));
  unsigned flags =
      (is_own_frame(frame) ? kOwn : 0U) | (is_runtime_frame(frame) ? kRuntime : 0U) | (frame.inlined ? kInlined : 0U);
  frames_.push_back({name, place, printable(frame.file), frame.line, where, flags});
  return known->second;
}

uint64_t PageStacks::add_node(uint64_t frame, uint64_t caller) {
  auto [known, is_new] = known_nodes_.try_emplace(frame << 32 | caller, nodes_.size() / 2 + 1);
  if (is_new) {
    nodes_.push_back(frame);
    nodes_.push_back(caller);
  }
  return known->second;
}

uint64_t PageStacks::add(const Report& report, report::StackId stack) {
  auto [known, is_new] = known_stacks_.try_emplace({&report, stack}, 0);
  if (!is_new) return known->second;
  std::vector<StackFrame> frames = list_frames(report, stack);
  uint64_t node = 0;
  for (size_t at = frames.size(); at-- > 0;) node = add_node(add_frame(frames[at]), node);
  return known->second = node;
}

void PageStacks::want_source(const Report& report, report::StackId stack) {
  constexpr size_t kMostFrames = 4;
  size_t wanted = 0;
  for (const StackFrame& frame : list_frames(report, stack)) {
    if (!frame.line || !is_own_frame(frame)) continue;
    auto& [module, lines] = wanted_[std::string(frame.file)];
    module = frame.module;
    lines.insert(frame.line);
    if (++wanted == kMostFrames) return;
  }
}

json PageStacks::sources() {
  json sources = json::object();
  size_t bytes = 0;
  for (const auto& [path, wanted] : wanted_) {
    const SourceTexts::File* file = sources_.find(path);
    if (!file) continue;
    json parts = json::array();
    size_t next = 1;  // the first line that is not in the page yet
    for (uint32_t line : wanted.second) {
      if (line > file->lines.size() || bytes > kMostSourceBytes) break;
      size_t first = std::max<size_t>(next, line > kLinesAround ? line - kLinesAround : 1);
      size_t last = std::min<size_t>(file->lines.size(), size_t{line} + kLinesAround);
      if (parts.empty() || first > next) parts.push_back({first, json::array()});
      for (size_t at = first; at <= last; ++at) {
        std::string text = source_line(file->lines[at - 1]);
        bytes += text.size();
        parts.back()[1].push_back(std::move(text));
      }
      next = std::max(next, last + 1);
    }
    if (!parts.empty())
      sources[printable(path)] = {{"newer", is_newer(*file, wanted.first)}, {"parts", std::move(parts)}};
  }
  return sources;
}

// ---- call sites ----

namespace {

constexpr const char* kColumns[] = {
    "kind",
    "signature",
    "acquired_by",
    "node",
    "telling",
    "live",
    "bytes",
    "lost",
    "lost_bytes",
    "indirectly_lost",
    "indirectly_lost_bytes",
    "possibly_lost",
    "possibly_lost_bytes",
    "total",
    "total_bytes",
    "peak",
    "running",
    "growth",
    "oldest_ns",
    "counts",
    "detail",
};

/// Of what a site holds, a row for each.
json objects_of(const Place& place) {
  json rows = json::array();
  for (const report::Object* one : place.objects) {
    std::string number;
    if (one->fd) number = fmt::format("{}", *one->fd);
    if (one->process) number = fmt::format("{}", *one->process);
    if (one->handle) number = fmt::format("{:#x}", *one->handle);
    if (number.empty() && one->thread) number = fmt::format("{}", *one->thread);
    std::vector<std::string> what;
    for (report::Text text : {one->target.empty() ? one->name : one->target, one->state, one->owner, one->origin})
      if (!text.empty()) what.push_back(printable(text));
    for (report::Text flag : one->flags) what.push_back(printable(flag));
    if (one->lost) what.push_back("lost");
    if (!one->test.empty()) what.push_back("in test " + printable(one->test));
    if (one->goroutine) what.push_back(fmt::format("goroutine {}", *one->goroutine));
    rows.push_back({number, join(what, ", "), one->thread ? json(*one->thread) : json(),
                    one->age_ns ? json(*one->age_ns) : json(), one->bytes ? json(*one->bytes) : json()});
  }
  return rows;
}

json kept_by(const Place& place, const RetentionPaths& retention) {
  constexpr size_t kMostPaths = 20;
  json kept = json::array();
  if (place.site->kind != ledger::Kind::heap) return kept;
  std::vector<RetentionPath> paths = retention.to(place);
  for (size_t at = 0; at < std::min(paths.size(), kMostPaths); ++at) {
    json steps = json::array();
    for (const std::string& step : paths[at].steps) steps.push_back(printable(step));
    kept.push_back({paths[at].blocks, paths[at].bytes, std::move(steps)});
  }
  return kept;
}

std::string without_comma(const std::string& text) { return text.starts_with(", ") ? text.substr(2) : text; }

json detail_of(const Place& place, const RetentionPaths& retention, PageStacks& stacks) {
  const Report& report = *place.report;
  const report::Site& site = *place.site;
  json detail = json::object();
  auto add_text = [&](const char* name, std::string text) {
    if (!text.empty()) detail[name] = std::move(text);
  };
  auto add_list = [&](const char* name, json list) {
    if (!list.empty()) detail[name] = std::move(list);
  };
  add_text("ages", without_comma(describe_ages(place)));
  add_text("tests", describe_tests(place));
  add_text("growth", without_comma(describe_growth(place)));
  add_text("rise", without_comma(describe_rise(place)));
  json history = json::array();
  for (const report::PastCount& one : history_of(place)) history.push_back({one.ago_ns, one.live});
  add_list("history", std::move(history));
  if (place.growing && place.running) detail["growing"] = true;
  add_text("suppressed_by", printable(site.suppressed_by));
  add_text("exceeds", printable(site.exceeds));
  add_text("owner", printable(site.owner));
  if (site.grade == report::Grade::informational) detail["informational"] = true;
  if (place.closed_by_gc) detail["closed_by_gc"] = place.closed_by_gc;
  if (place.truncated) detail["truncated"] = true;
  if (site.overflow) detail["overflow"] = true;
  if (site.known_by != report::PlaceKnownBy::line) detail["known_by"] = report::word_of(site.known_by);
  json hints = json::array();
  for (const report::Hint* hint : hints_of(place)) hints.push_back(printable(hint->text));
  add_list("hints", std::move(hints));
  add_list("kept", kept_by(place, retention));
  add_list("objects", objects_of(place));
  uint64_t omitted = 0;
  json others = json::array();
  constexpr size_t kMostStacks = 10;
  for (uint32_t at : place.sites) {
    omitted += report.sites[at].objects_omitted;
    if (at != place.first() && others.size() < kMostStacks)
      others.push_back({stacks.add(report, report.sites[at].stack), report.sites[at].live});
  }
  add_list("stacks", std::move(others));
  if (omitted) detail["objects_omitted"] = omitted;
  return detail;
}

json place_row(const Place& place, const RetentionPaths& retention, PageStacks& stacks) {
  const report::Site& site = *place.site;
  const auto& telling = retention.telling().of(site.stack);
  json detail = detail_of(place, retention, stacks);
  bool counts = place.counts() || (place.running && site.counts());
  stacks.want_source(*place.report, site.stack);
  return {static_cast<unsigned>(site.kind),
          fmt::format("{:016x}", site.signature),
          printable(site.acquired_by),
          stacks.add(*place.report, site.stack),
          telling ? json(stacks.add_frame(telling->frame)) : json(),
          place.live,
          place.bytes,
          place.lost,
          place.lost_bytes,
          place.indirectly_lost,
          place.indirectly_lost_bytes,
          place.possibly_lost,
          place.possibly_lost_bytes,
          place.total,
          place.total_bytes,
          place.peak,
          place.running,
          place.growth ? place.growth->per_day : 0,
          site.oldest_age_ns,
          counts ? 1 : 0,
          detail.empty() ? json() : std::move(detail)};
}

// ---- a report ----

json totals_of(const Report& report) {
  json totals = json::array();
  for (size_t at = 0; at < report::kSubjectCount; ++at) {
    auto subject = static_cast<report::Subject>(at);
    const report::Totals* one = report.totals_of(subject);
    bool is_kind = at < ledger::kKindCount;
    ledger::Coverage coverage = report.coverage[static_cast<size_t>(report::row_of(subject).kind)];
    if (!one && !(is_kind && coverage == ledger::Coverage::unavailable)) continue;
    json row = {{"name", report::row_of(subject).name}, {"is_kind", is_kind}, {"coverage", report::word_of(coverage)}};
    json counters = json::array();
    if (one) {
      if (is_kind) row["words"] = describe_totals(subject, *one, report);
      report::Totals::each_of(subject, [&](report::Counter counter, const report::CounterRow& of) {
        counters.push_back({of.name, (*one)[counter]});
      });
    } else {
      row["words"] = "could not be tracked";
    }
    row["counters"] = std::move(counters);
    totals.push_back(std::move(row));
  }
  return totals;
}

json rules_of(const Report& report, const std::map<uint64_t, size_t>& places) {
  json rules = json::array();
  for (const report::RuleOutcome& rule : report.rules) {
    auto place = rule.broken ? places.find(rule.site) : places.end();
    rules.push_back({{"text", describe_verdict(rule)},
                     {"state", rule.broken         ? "broken"
                               : rule.is_checked() ? "pass"
                                                   : "unchecked"},
                     {"place", place == places.end() ? json() : json(place->second)}});
  }
  return rules;
}

json watch_of(const Report& report) {
  if (!report.watch) return {};
  json kinds = json::array();
  for (const report::KindGrowth& one : report.watch->kinds) {
    kinds.push_back({{"kind", report::kind_name(one.kind)},
                     {"first", one.growth.first},
                     {"last", one.growth.last},
                     {"words", describe_growth(one.growth, one.kind)},
                     {"limit", describe_limit(one)},
                     {"grows", one.growth.course == report::Course::grows}});
  }
  return {{"words", fmt::format("{} over {}", write_number_of(report.watch->looks, "look"),
                                write_duration(report.watch->duration_ns))},
          {"kinds", std::move(kinds)}};
}

/// How many there were, or bytes, at each look: of kinds by their number, of call sites by theirs.
json looks_of(const std::map<uint64_t, size_t>& places, const Series* series) {
  if (!series || series->times_ns.size() < 2) return {};
  size_t looks = series->times_ns.size();
  json times = json::array();
  for (uint64_t time : series->times_ns) times.push_back(time - series->times_ns.front());
  json kinds = json::object();
  for (size_t at = 0; at < ledger::kKindCount; ++at) {
    std::vector<uint64_t> values = series->kinds[at].at_looks(looks);
    if (std::any_of(values.begin(), values.end(), [](uint64_t one) { return one > 0; }))
      kinds[std::string(report::kind_name(static_cast<ledger::Kind>(at)))] = values;
  }
  constexpr size_t kMostPlaces = 200;  // the report has the worst first
  std::map<size_t, std::vector<uint64_t>> sums;
  for (const auto& [id, steps] : series->sites) {
    auto place = places.find(id);
    if (place == places.end() || place->second >= kMostPlaces) continue;
    std::vector<uint64_t>& sum = sums.try_emplace(place->second, looks).first->second;
    std::vector<uint64_t> values = steps.at_looks(looks);
    for (size_t look = 0; look < looks; ++look) sum[look] += values[look];
  }
  json sites = json::object();
  for (const auto& [place, values] : sums) sites[std::to_string(place)] = values;
  return {{"times_ns", std::move(times)},
          {"kinds", std::move(kinds)},
          {"places", std::move(sites)},
          {"limit", series->limit}};
}

json facts_of(const Report& report) {
  const report::Process& process = report.process;
  json facts = json::array();
  auto add = [&](const char* name, std::string text) {
    if (!text.empty()) facts.push_back({name, std::move(text)});
  };
  std::vector<std::string> words;
  for (report::Text word : process.argv) words.push_back(printable(word));
  add("command", join(words, " "));
  add("executable", printable(process.exe));
  add("directory", printable(process.directory));
  add("started in test", printable(process.test));
  add("started", printable(process.started));
  add("report trigger", std::string(report::word_of(report.trigger)));
  add("tracked by",
      (report.backend.empty() ? "" : printable(report.backend)) + (report.preloaded ? " and preload" : ""));
  add("run", printable(process.run));
  if (report.grading && report.grading->state == report::GradingState::refused)
    add("lost blocks", "not searched for: " + printable(report.grading->reason));
  if (report.clean_processes) add("processes that hold nothing", write_count(report.clean_processes));
  return facts;
}

json alerts_of(const Report& report) {
  json alerts = json::array();
  if (report.exhaustion)
    alerts.push_back(fmt::format("a limit was reached: {} failed with {}", printable(report.exhaustion->function),
                                 printable(report.exhaustion->error)));
  if (report.threshold) alerts.push_back(describe_threshold(*report.threshold));
  if (!report.complete) alerts.push_back("this report is incomplete");
  if (report.process.outside_rules) alerts.push_back("no rule was applied to this process");
  return alerts;
}

json report_data(const Report& report, const Series* series, PageStacks& stacks, const TextOptions& options) {
  std::vector<Place> places = list_places(report);
  RetentionPaths retention(report, options.paths);
  json rows = json::array();
  std::map<uint64_t, size_t> numbers;  // of places, by the sites in them
  for (const Place& place : places) {
    for (uint32_t at : place.sites) numbers.emplace(report.sites[at].id, rows.size());
    rows.push_back(place_row(place, retention, stacks));
  }
  json notes = json::array();
  for (report::Text note : report.notes) notes.push_back(printable(note));
  for (const std::string& one : list_missing_lines(places, report, options)) notes.push_back(one);
  const report::Process& process = report.process;
  json data = {{"title", describe_process(process)},
               {"ending", describe_end(report)},
               {"held", describe_held(report)},
               {"process", fmt::format("{} {}", process.pid, printable(process.started))},
               {"time_ns", process.duration_ns ? json(*process.duration_ns) : json()},
               {"facts", facts_of(report)},
               {"alerts", alerts_of(report)},
               {"notes", std::move(notes)},
               {"totals", totals_of(report)},
               {"rules", rules_of(report, numbers)},
               {"watch", watch_of(report)},
               {"looks", looks_of(numbers, series)},
               {"places", std::move(rows)},
               {"sites_omitted", report.sites_omitted}};
  data["sections"] = page_sections(report, stacks, options);
  return data;
}

}  // namespace

json page_data(Reports reports, const RenderOptions& options, std::string_view view) {
  SourceTexts sources(options.root ? options.root->folder() : "");
  TextOptions text;
  text.most_frames = 12;
  text.sources = &sources;
  PageStacks stacks(text, sources);
  json all = json::array();
  for (size_t at = 0; at < reports.size(); ++at)
    all.push_back(report_data(*reports[at], at < options.series.size() ? options.series[at] : nullptr, stacks, text));
  json kinds = json::array();
  for (size_t at = 0; at < ledger::kKindCount; ++at) {
    auto kind = static_cast<ledger::Kind>(at);
    kinds.push_back({report::kind_name(kind), report::row_of(report::subject_of(kind)).noun});
  }
  json data = {{"tool", UNFREED_VERSION}, {"view", view}, {"kinds", std::move(kinds)}, {"columns", kColumns}};
  data["reports"] = std::move(all);
  data["frames"] = stacks.frames();
  data["nodes"] = stacks.nodes();
  data["sources"] = stacks.sources();
  return data;
}

}  // namespace unfreed::render
