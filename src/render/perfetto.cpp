// How numbers went on, as counters in Chrome's trace event format (JSON), which ui.perfetto.dev and chrome://tracing
// draw: a track for each kind of a process and for each of its worst call sites. Of a series (series.h) all looks; of a
// report the moment at which it was made.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "render/frames.h"
#include "render/places.h"
#include "render/pprof.h"
#include "render/renderers.h"
#include "render/series.h"
#include "render/telling_frames.h"
#include "render/text.h"
#include "report/describe.h"
#include "report/report_head.h"

namespace unfreed::render {

using report::Report;

namespace {

/// Of each process and kind; a page with thousands of tracks helps nobody.
constexpr size_t kMostPlaces = 100;

using json = nlohmann::ordered_json;

class Trace {
 public:
  void add(const Report& report, const Series* series) {
    times_ns_ = times_of(report, series);
    series_ = series;
    pid_ = report.process.pid;
    // Two reports on one process are one in the trace; two containers may have processes of one number.
    std::string name = describe_process(report.process);
    std::string identity = fmt::format("{} {}", name, report.process.started);
    while (processes_.try_emplace(pid_, identity).first->second != identity) ++pid_;
    metadata("process_name", "name", name);
    std::string command;
    for (report::Text word : report.process.argv) command.append(command.empty() ? "" : " ").append(word);
    metadata("process_labels", "labels", printable(command));
    for (size_t at = 0; at < ledger::kKindCount; ++at)
      if (const auto& totals = report.totals[at]) {
        auto kind = static_cast<ledger::Kind>(at);
        track(std::string(report::kind_name(kind)), kind,
              series ? series->kinds[at].at_looks(series->times_ns.size()) : std::vector{watched_total(kind, *totals)});
      }
    add_places(report);
  }

  std::string text() const {
    std::string text = std::string(report::kPerfettoStart) + events_;
    return text + fmt::format("\n],\n\"metadata\": {{\"call_sites_left_out\": {}}}}}\n", left_out_);
  }

 private:
  /// Of the looks, on the clock of the world: processes of several machines, or of one before and after a restart,
  /// stand beside each other.
  static std::vector<uint64_t> times_of(const Report& report, const Series* series) {
    auto last = static_cast<uint64_t>(moment_of(report));
    if (!series) return {last};
    std::vector<uint64_t> times = series->times_ns;
    uint64_t end = times.back();
    for (uint64_t& time : times) time = last > end - time ? last - (end - time) : time - times.front();
    return times;
  }

  void add_places(const Report& report) {
    size_t shown[ledger::kKindCount] = {};
    std::map<std::string, size_t> seen;
    TellingFrames telling(report, PathShortener("", ""));
    for (const Place& place : list_places(report)) {
      ledger::Kind kind = place.site->kind;
      std::vector<uint64_t> values = values_of(report, place);
      bool is_empty = std::all_of(values.begin(), values.end(), [](uint64_t value) { return value == 0; });
      if (is_empty) continue;
      if (++shown[static_cast<size_t>(kind)] > kMostPlaces) {
        ++left_out_;
        continue;
      }
      std::string name = name_of(telling, place);
      // Tracks of one name would be one track.
      if (++seen[name] > 1) name += fmt::format(" [{:016x}]", place.site->signature);
      track(name, kind, values);
    }
  }

  std::vector<uint64_t> values_of(const Report& report, const Place& place) const {
    std::vector<uint64_t> sum(times_ns_.size());
    for (uint32_t index : place.sites) {
      const report::Site& site = report.sites[index];
      std::vector<uint64_t> values(1, watched_number(site.kind, site));
      if (series_) {
        auto found = series_->sites.find(site.id);
        values = found == series_->sites.end() ? std::vector<uint64_t>() : found->second.at_looks(sum.size());
      }
      for (size_t at = 0; at < values.size(); ++at) sum[at] += values[at];
    }
    return sum;
  }

  static std::string name_of(const TellingFrames& telling, const Place& place) {
    const std::optional<TellingFrame>& told = telling.of(place.site->stack);
    const StackFrame first = told ? told->frame : StackFrame();
    std::string where = first.line ? fmt::format(" ({}:{})", base_name(first.file), first.line) : "";
    return fmt::format("{}: {} in {}{}", report::kind_name(place.site->kind), printable(place.site->acquired_by),
                       printable(name_or_offset(first)), printable(where));
  }

  /// The value at the first look, each change, and the last look, so that all tracks are equally long.
  void track(const std::string& name, ledger::Kind kind, const std::vector<uint64_t>& values) {
    const char* what = kind == ledger::Kind::heap ? "bytes" : "held";
    for (size_t look = 0; look < values.size(); ++look)
      if (look == 0 || look + 1 == values.size() || values[look] != values[look - 1])
        event({{"name", name},
               {"ph", "C"},
               {"ts", times_ns_[look] / 1000},
               {"pid", pid_},
               {"args", {{what, values[look]}}}});
  }

  void metadata(const char* name, const char* argument, const std::string& value) {
    event({{"name", name}, {"ph", "M"}, {"pid", pid_}, {"args", {{argument, value}}}});
  }

  void event(const json& event) {
    events_ += events_.empty() ? "" : ",\n";
    events_ += event.dump(-1, ' ', false, json::error_handler_t::replace);
  }

  std::string events_;
  size_t left_out_ = 0;
  std::map<int64_t, std::string> processes_;  ///< which one a number stands for
  // Of the report that is being added.
  std::vector<uint64_t> times_ns_;
  const Series* series_ = nullptr;
  int64_t pid_ = 0;
};

}  // namespace

std::string render_report_perfetto(Reports reports, const RenderOptions& options) {
  Trace trace;
  for (size_t at = 0; at < reports.size(); ++at)
    trace.add(*reports[at], at < options.series.size() ? options.series[at] : nullptr);
  return trace.text();
}

}  // namespace unfreed::render
