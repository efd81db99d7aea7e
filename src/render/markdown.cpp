// A report in GitHub's Markdown, for pull requests, issues and the summary of a job.
#include <fmt/format.h>

#include <algorithm>

#include "render/findings.h"
#include "render/markup.h"
#include "render/quantities.h"
#include "render/text.h"
#include "report/describe.h"
#include "report/report_head.h"

namespace unfreed::render {

using report::Counter;
using report::Report;
using report::Totals;

namespace {

/// Longer texts are refused by GitHub: 64 KiB for a comment, 1 MiB for a summary.
constexpr size_t kMostFindings = 30;
constexpr size_t kMostBytes = 60'000;

std::string totals_of(const Report& report) {
  std::string text = "| kind | held | lost | acquired | |\n|---|--:|--:|--:|---|\n";
  for (size_t at = 0; at < ledger::kKindCount; ++at) {
    const Totals* totals = report.totals[at] ? &*report.totals[at] : nullptr;
    ledger::Coverage coverage = report.coverage[at];
    std::string_view name = report::kSubjects[at].name;
    if (!totals) {
      if (coverage == ledger::Coverage::unavailable) text += fmt::format("| {} | | | | could not be tracked |\n", name);
      continue;
    }
    if (!(*totals)[Counter::total] && !(*totals)[Counter::live]) continue;
    std::string held = write_count((*totals)[Counter::live]);
    if ((*totals)[Counter::bytes]) held += " (" + write_bytes((*totals)[Counter::bytes]) + ")";
    text += fmt::format("| {} | {} | {} | {} | {} |\n", name, held, write_count((*totals)[Counter::lost]),
                        write_count((*totals)[Counter::total]),
                        coverage == ledger::Coverage::exact ? "" : report::word_of(coverage));
  }
  return text + "\n";
}

std::string rules_of(const Report& report) {
  std::string text;
  for (const report::RuleOutcome& rule : report.rules) {
    std::string verdict = describe_verdict(rule);
    text +=
        fmt::format("- {}\n", rule.broken || !rule.is_checked() ? "**" + as_code(verdict) + "**" : as_code(verdict));
  }
  return text.empty() ? text : text + "\n";
}

/// Of a run: what became of processes that are not listed.
std::string others_of(const Report& report, bool any_judged) {
  if (report.clean_processes)
    return fmt::format("Processes that keep every rule and hold nothing: {}\n\n", write_count(report.clean_processes));
  if (report.of_run && !any_judged)
    return "**No rule was checked: the rules are for none of the programs that ran.**\n\n";
  return {};
}

std::string finding_of(const Finding& finding) {
  std::string text = fmt::format("- {}", as_code(finding.message));
  if (finding.line) text += fmt::format(" at {}", as_code(fmt::format("{}:{}", finding.file, finding.line)));
  if (!finding.rules.empty())
    text += fmt::format(", breaks {}", as_code(fmt::format("{}", fmt::join(finding.rules, ", "))));
  if (finding.processes.size() > 1) text += fmt::format(", in {} processes", finding.processes.size());
  text += "\n";
  if (finding.stack.empty()) return text;
  // The block belongs to the item: it is indented with it.
  std::string block = "\n<details><summary>stack</summary>\n\n" + as_block(finding.stack) + "\n</details>\n";
  std::string indented;
  for (size_t at = 0; at < block.size();) {
    size_t end = std::min(block.find('\n', at), block.size() - 1);
    if (end > at) indented += "  ";
    indented += block.substr(at, end - at + 1);
    at = end + 1;
  }
  return text + indented;
}

}  // namespace

std::string render_report_markdown(Reports reports, const RenderOptions& options) {
  std::string text(report::kMarkdownStart);
  size_t unshown = 0;
  for (const Report* report : reports) {
    // Findings need the other half.
    if (text.size() > kMostBytes / 2) {
      ++unshown;
      continue;
    }
    bool is_beside = report->process.outside_rules && (reports.size() > 1 || report->clean_processes);
    if (is_beside && !report->clean_processes) continue;
    text += fmt::format("### unfreed: {}\n\n{}", as_code(describe_process(report->process)),
                        others_of(*report, any_judged(reports)));
    if (is_beside) continue;
    if (!report->complete) text += "**This report is incomplete.**\n\n";
    text += rules_of(*report) + totals_of(*report);
    for (report::Text note : report->notes) text += fmt::format("Note: {}\n\n", as_code(printable(note)));
  }
  if (unshown) text += fmt::format("and {} more\n\n", write_number_of(unshown, "process"));
  auto [findings, left_out] = list_findings(reports, options, kMostFindings);
  if (!findings.empty()) text += "#### Findings\n\n";
  size_t shown = 0;
  for (; shown < findings.size() && shown < kMostFindings; ++shown) {
    std::string one = finding_of(findings[shown]);
    if (text.size() + one.size() > kMostBytes) break;
    text += one;
  }
  if (left_out += findings.size() - shown; left_out) text += fmt::format("\nand {} more\n", write_count(left_out));
  return text;
}

}  // namespace unfreed::render
