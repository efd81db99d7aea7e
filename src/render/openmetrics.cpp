// Numbers of processes and of their call sites as OpenMetrics (https://openmetrics.io), which Prometheus scrapes and
// node_exporter's textfile collector reads.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <vector>

#include "render/findings.h"
#include "render/frames.h"
#include "render/places.h"
#include "render/telling_frames.h"
#include "render/text.h"
#include "report/report_head.h"

namespace unfreed::render {

using report::Counter;
using report::Report;

namespace {

/// Every line is a series that a database keeps: of each process and kind, the worst call sites.
constexpr size_t kMostPlaces = 20;

std::string label_value(std::string_view text) {
  std::string out;
  for (char character : printable(text)) {
    if (character == '\\' || character == '"') out += '\\';
    out += character;
  }
  return out;
}

/// What every line about a report says of it: no two are the same, or a reader would refuse them.
struct Labelled {
  const Report* report;
  std::string labels;
  std::shared_ptr<TellingFrames> telling;
};

std::vector<Labelled> label(Reports reports) {
  std::vector<Labelled> all;
  std::map<std::string, size_t> seen;
  for (const Report* report : reports) {
    const report::Process& process = report->process;
    std::string_view name = base_name(process.exe.empty() && !process.argv.empty() ? process.argv[0] : process.exe);
    std::string labels = fmt::format("program=\"{}\",pid=\"{}\"", label_value(name), process.pid);
    if (size_t number = ++seen[labels]; number > 1) labels += fmt::format(",report=\"{}\"", number);
    all.push_back({report, labels, std::make_shared<TellingFrames>(*report, PathShortener("", ""))});
  }
  return all;
}

/// A metric of processes and its twin of call sites, each a family: its lines stand together.
struct Metric {
  const char* name;
  const char* type;
  const char* suffix;  ///< of a sample's name
  const char* unit;    ///< the name's last part; "" none
  Counter counter;
  const char* help;
};
constexpr Metric kMetrics[] = {
    {"held", "gauge", "", "", Counter::live, "Resources acquired and not released"},
    {"held_bytes", "gauge", "", "bytes", Counter::bytes, "Requested bytes of held resources"},
    {"lost", "gauge", "", "", Counter::lost, "Resources that no pointer leads to any more"},
    {"lost_bytes", "gauge", "", "bytes", Counter::lost_bytes, "Requested bytes of lost resources"},
    {"running", "gauge", "", "", Counter::running, "Threads and child processes that have not ended"},
    {"acquired", "counter", "_total", "", Counter::total, "Resources acquired since the process started"},
    {"acquired_bytes", "counter", "_total", "bytes", Counter::total_bytes,
     "Requested bytes of all resources acquired since the process started"},
};

std::string head_of(const std::string& name, const Metric& metric, const char* of) {
  std::string text = fmt::format("# TYPE {} {}\n", name, metric.type);
  if (*metric.unit) text += fmt::format("# UNIT {} {}\n", name, metric.unit);
  return text + fmt::format("# HELP {} {}, by {}.\n", name, metric.help, of);
}

std::string totals_of(const std::vector<Labelled>& reports, const Metric& metric) {
  std::string name = fmt::format("unfreed_{}", metric.name);
  std::string text;
  for (const auto& [report, labels, telling] : reports)
    for (size_t at = 0; at < ledger::kKindCount; ++at) {
      auto subject = static_cast<report::Subject>(at);
      const report::Totals* totals = report->totals_of(subject);
      if (!totals || !(report::row_of(metric.counter).in_totals & report::bit_of(subject))) continue;
      text += fmt::format("{}{}{{{},kind=\"{}\"}} {}\n", name, metric.suffix, labels, report::row_of(subject).name,
                          totals->counted(metric.counter));
    }
  return text.empty() ? text : head_of(name, metric, "process and kind") + text;
}

std::string places_of(const Labelled& one, const Metric& metric, const std::string& name, const SourceRoot& root) {
  const Report& report = *one.report;
  std::string text;
  size_t shown[ledger::kKindCount] = {};
  for (const Place& place : list_places(report)) {
    const report::Site& site = *place.site;
    if (!site.counts() || !(place.live || place.running || place.closed_by_gc)) continue;
    if (!(report::row_of(metric.counter).in_site_rules & report::bit_of(report::subject_of(site.kind)))) continue;
    if (++shown[static_cast<size_t>(site.kind)] > kMostPlaces) continue;
    const std::optional<TellingFrame>& told = one.telling->of(site.stack);
    const StackFrame first = told ? told->frame : StackFrame();
    SourceLine where = find_source_line(report, site.stack, root, one.telling.get());
    std::string line = where.line ? fmt::format("{}:{}", where.file, where.line)
                                  : fmt::format("{}+{:#x}", base_name(first.module), first.offset);
    text += fmt::format(
        "{}{}{{{},kind=\"{}\",signature=\"{:016x}\",function=\"{}\",line=\"{}\",acquired_by=\"{}\"}} {}\n", name,
        metric.suffix, one.labels, report::kind_name(site.kind), site.signature, label_value(first.function),
        label_value(line), label_value(site.acquired_by), place.value(metric.counter));
  }
  return text;
}

}  // namespace

std::string render_report_openmetrics(Reports reports, const RenderOptions& options) {
  SourceRoot root = root_of(options);
  std::string text(report::kOpenMetricsStart);
  std::vector<Labelled> labelled = label(reports);
  for (const auto& [report, labels, telling] : labelled)
    text += fmt::format("unfreed_report_complete{{{}}} {}\n", labels, report->complete ? 1 : 0);
  for (const Metric& metric : kMetrics) text += totals_of(labelled, metric);
  for (const Metric& metric : kMetrics) {
    std::string name = fmt::format("unfreed_site_{}", metric.name);
    std::string lines;
    for (const Labelled& one : labelled) lines += places_of(one, metric, name, root);
    if (!lines.empty()) text += head_of(name, metric, "call site") + lines;
  }
  return text + "# EOF\n";
}

}  // namespace unfreed::render
