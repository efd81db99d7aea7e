#include "render/openmetrics.h"

#include <fmt/format.h>

#include "render/findings.h"
#include "render/frames.h"
#include "render/places.h"
#include "render/renderers.h"
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

std::string totals_of(const Report& report, const std::string& labels, const Metric& metric) {
  std::string text;
  for (size_t at = 0; at < ledger::kKindCount; ++at) {
    auto subject = static_cast<report::Subject>(at);
    const report::Totals* totals = report.totals_of(subject);
    if (!totals || !(report::row_of(metric.counter).in_totals & report::bit_of(subject))) continue;
    text += fmt::format("unfreed_{}{}{{{},kind=\"{}\"}} {}\n", metric.name, metric.suffix, labels,
                        report::row_of(subject).name, totals->counted(metric.counter));
  }
  return text;
}

/// A call site, as every line about it begins and ends.
struct LabelledPlace {
  const Place* place;
  std::string labels;
};

std::vector<LabelledPlace> label_places(const Report& report, const std::vector<Place>& places,
                                        const std::string& report_labels, const SourceRoot& root) {
  std::vector<LabelledPlace> labelled;
  TellingFrames telling(report, PathShortener("", ""));
  size_t shown[ledger::kKindCount] = {};
  for (const Place& place : places) {
    const report::Site& site = *place.site;
    if (!site.counts() || !(place.live || place.running || place.closed_by_gc)) continue;
    if (++shown[static_cast<size_t>(site.kind)] > kMostPlaces) continue;
    const std::optional<TellingFrame>& told = telling.of(site.stack);
    const StackFrame first = told ? told->frame : StackFrame();
    SourceLine where = find_source_line(report, site.stack, root, &telling);
    std::string line = where.line ? fmt::format("{}:{}", where.file, where.line)
                                  : fmt::format("{}+{:#x}", base_name(first.module), first.offset);
    labelled.push_back(
        {&place, fmt::format("{},kind=\"{}\",signature=\"{:016x}\",function=\"{}\",line=\"{}\",acquired_by=\"{}\"",
                             report_labels, report::kind_name(site.kind), site.signature, label_value(first.function),
                             label_value(line), label_value(site.acquired_by))});
  }
  return labelled;
}

std::string places_of(const std::vector<LabelledPlace>& places, const Metric& metric) {
  std::string text;
  for (const auto& [place, labels] : places) {
    report::Subject subject = report::subject_of(place->site->kind);
    if (report::row_of(metric.counter).in_site_rules & report::bit_of(subject))
      text +=
          fmt::format("unfreed_site_{}{}{{{}}} {}\n", metric.name, metric.suffix, labels, place->value(metric.counter));
  }
  return text;
}

}  // namespace

MetricsPage::MetricsPage(SourceRoot root)
    : root_(std::move(root)), totals_(std::size(kMetrics)), places_(std::size(kMetrics)) {}

/// Of all lines about a report. They differ between reports, as a reader refuses two lines with the same ones.
std::string MetricsPage::labels_of(std::string_view program, int64_t pid) {
  std::string labels = fmt::format("program=\"{}\",pid=\"{}\"", label_value(program), pid);
  if (size_t number = ++seen_[labels]; number > 1) labels += fmt::format(",report=\"{}\"", number);
  return labels;
}

void MetricsPage::add_complete(const std::string& labels, bool is_complete) {
  complete_ += fmt::format("unfreed_report_complete{{{}}} {}\n", labels, is_complete ? 1 : 0);
}

void MetricsPage::add_unread(std::string_view program, int64_t pid) { add_complete(labels_of(program, pid), false); }

void MetricsPage::add(const Report& report) {
  std::string labels = labels_of(program_of(report.process), report.process.pid);
  add_complete(labels, report.complete);
  std::vector<Place> places = list_places(report);
  std::vector<LabelledPlace> labelled = label_places(report, places, labels, root_);
  bool knows_losses = report.grading && report.grading->state == report::GradingState::done;
  for (size_t at = 0; at < std::size(kMetrics); ++at) {
    bool is_loss = kMetrics[at].counter == Counter::lost || kMetrics[at].counter == Counter::lost_bytes;
    if (is_loss && !knows_losses) continue;  // 0 would say that nothing is
    totals_[at] += totals_of(report, labels, kMetrics[at]);
    places_[at] += places_of(labelled, kMetrics[at]);
  }
}

std::string MetricsPage::text() const {
  std::string text = std::string(report::kOpenMetricsStart) + complete_;
  for (size_t at = 0; at < std::size(kMetrics); ++at)
    if (!totals_[at].empty())
      text += head_of(fmt::format("unfreed_{}", kMetrics[at].name), kMetrics[at], "process and kind") + totals_[at];
  for (size_t at = 0; at < std::size(kMetrics); ++at)
    if (!places_[at].empty())
      text += head_of(fmt::format("unfreed_site_{}", kMetrics[at].name), kMetrics[at], "call site") + places_[at];
  return text + "# EOF\n";
}

std::string render_report_openmetrics(Reports reports, const RenderOptions& options) {
  MetricsPage page(root_of(options));
  for (const Report* report : reports) page.add(*report);
  return page.text();
}

}  // namespace unfreed::render
