// unfreed baseline: a file of leaks that are accepted for now, so that only new ones fail (render/baseline.h).
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "cli/command.h"
#include "cli/report_source.h"
#include "cli/settings_input.h"
#include "cli/text_file.h"
#include "evaluate/evaluate.h"
#include "render/baseline.h"
#include "render/quantities.h"
#include "render/text_parts.h"
#include "settings/suppressions.h"

namespace unfreed::cli {

namespace {

using render::BaselineChange;

/// What a report did not see: a baseline without it would later accept any leak of that kind. One line for each of
/// its kinds that were tracked.
bool is_complete(const SourcedReport& source, const std::string& file) {
  const report::Report& report = source.report();
  bool is_seen = true;
  for (const report::UntrackedProgram& one : report.untracked) {
    if (!report.of_run || one.allowed) continue;
    complain(fmt::format("{}: {} was not tracked: {}", file, one.program, one.reason));
    is_seen = false;
  }
  if (report.sites_omitted) {
    complain(fmt::format("{}: the report leaves out {} (UNFREED_TOP)", file,
                         render::write_number_of(report.sites_omitted, "stack")));
    is_seen = false;
  }
  if (report.process.outside_rules) return is_seen;
  report::RuleSet rules;
  report::ParseError error;
  report::parse_rules("fd>0,heap.lost>0,thread>0,child>0", rules, error);
  for (const report::Rule& rule : rules.all()) {
    if (report.coverage[static_cast<size_t>(rule.kind())] == ledger::Coverage::off) continue;
    report::RuleOutcome outcome = report::evaluate_rule(rule, report);
    if (outcome.is_checked()) continue;
    complain(fmt::format("{}: {}", file, render::describe_verdict(outcome)));
    is_seen = false;
  }
  return is_seen;
}

std::string describe_count(const render::Leak& leak) {
  std::string noun(report::row_of(report::subject_of(leak.kind)).noun);
  return render::write_number_of(leak.count, leak.kind == ledger::Kind::heap ? "lost " + noun : noun);
}

std::string describe(const BaselineChange& change) {
  std::string_view kind = report::kind_name(change.leak.kind);
  std::string text;
  switch (change.type) {
    case BaselineChange::Type::fresh:
      text = fmt::format("new: {} {}", describe_count(change.leak), change.leak.description);
      break;
    case BaselineChange::Type::grown:
      text = fmt::format("grown from {}: {} {}", change.allowed, describe_count(change.leak), change.leak.description);
      break;
    case BaselineChange::Type::shrunk:
      return fmt::format("tighten it: {} of {} allowed: {}:signature:{:016x}\n", change.leak.count, change.allowed,
                         kind, change.leak.signature);
    case BaselineChange::Type::gone:
      return fmt::format("tighten it: gone: {}\n", render::printable(change.leak.description));
  }
  return text;
}

bool write(const std::string& file, const std::string& text, const OutputOptions& options) {
  std::string error;
  if (write_report_file(file, text, options, error)) return true;
  complain(fmt::format("{} cannot be written: {}", file, error));
  return false;
}

/// As suppressions. False: a line says why.
bool is_readable(const std::string& text, const std::string& name = "the baseline") {
  std::vector<report::Suppression> all(report::kMaxSuppressions);
  size_t count = 0;
  size_t line = 0;
  report::ParseError problem;
  if (text.size() > report::kMostSuppressionBytes) {
    complain(fmt::format("{}: more than 1 MiB cannot be read as suppressions", name));
    return false;
  }
  if (report::parse_suppressions(text, all, count, problem, line)) return true;
  complain(fmt::format("{}, line {}: {}", name, line, problem.message ? problem.message : "?"));
  return false;
}

/// False: a line says why.
bool read_baseline(const std::string& file, std::string& text) {
  std::string error;
  if (read_input_file(file, report::kMostSuppressionBytes, text, error)) return is_readable(text, "baseline " + file);
  complain(fmt::format("baseline {} cannot be read: {}", file, error));
  return false;
}

}  // namespace

int baseline_command(const Arguments& arguments) {
  Parser parser("baseline", "[OPTIONS] write|update|check FILE REPORT...",
                "Keeps a file of leaks that are accepted for now: a suppression file, with a limit for each call site. "
                "write makes it from reports; check compares reports with it; update lowers, removes and adds entries, "
                "and leaves comments alone.");
  std::vector<std::string> words;
  OutputOptions options;
  std::string source_root;
  uint32_t exit_code = report::exit_status::rule_broken;
  parser.operands("write|update|check FILE REPORT", words, "what to do, the baseline, and reports (JSON or ledgers)");
  parser.value("--exit-code", "N", exit_code, "status if something is new or has grown (default: 23)");
  parser.value("--source-root", "DIRECTORY", source_root,
               "name source files from there (default: the Git working tree)");
  parser.flag("--force", options.replaces_anything, kForceHelp);
  parser.footer(
      "Exit status: 0; 23 (--exit-code) if check finds something new or grown; 125 if a file cannot be read or\n"
      "written, or a report does not have all that is needed.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  const std::string& verb = words[0];
  bool is_known = verb == "write" || verb == "update" || verb == "check";
  if (!is_known || words.size() < 3) {
    complain(is_known ? fmt::format("{} needs the baseline's FILE and at least one REPORT", verb)
                      : fmt::format("baseline {}: expected write, update or check", verb));
    return kFailure;
  }
  const std::string& file = words[1];
  std::string text;
  if (verb != "write" && !read_baseline(file, text)) return kFailure;
  std::vector<std::string> paths(words.begin() + 2, words.end());
  std::vector<SourcedReport> sources;
  symbolize::Symbolizer symbolizer;
  if (!read_reports(paths, symbolizer, sources)) return kFailure;
  std::vector<const report::Report*> reports;
  bool is_seen = true;
  for (size_t at = 0; at < sources.size(); ++at) {
    is_seen = is_complete(sources[at], paths[at]) && is_seen;
    reports.push_back(&sources[at].report());
  }
  render::RenderOptions render_options;
  if (!source_root.empty()) render_options.root.emplace(std::filesystem::absolute(source_root).string());
  bool is_whole = std::all_of(reports.begin(), reports.end(), [](const auto* one) { return !one->sites_omitted; });
  // Entries of what could not be seen would be removed from the file.
  if (!is_seen && (verb != "check" || !is_whole)) return kFailure;
  uint32_t seen_kinds = 0;
  for (const report::Report* report : reports)
    for (size_t kind = 0; kind < ledger::kKindCount; ++kind)
      seen_kinds |= uint32_t{!report->process.outside_rules && report->coverage[kind] != ledger::Coverage::off} << kind;
  std::vector<render::Leak> leaks = render::list_leaks(reports, render_options);
  std::string updated = render::write_baseline(leaks);
  if (verb == "write") return is_readable(updated) && write(file, updated, options) ? kSuccess : kFailure;
  render::BaselineComparison comparison = render::compare_baseline(text, leaks, seen_kinds);
  std::string shown;
  for (const BaselineChange& change : comparison.changes) shown += describe(change);
  std::fwrite(shown.data(), 1, shown.size(), stdout);
  if (verb == "update") {
    options.replaces_anything = true;  // it is a file of suppressions: it has just been read
    return is_readable(comparison.updated) && write(file, comparison.updated, options) ? kSuccess : kFailure;
  }
  return comparison.is_worse() ? static_cast<int>(exit_code) : is_seen ? kSuccess : kFailure;
}

}  // namespace unfreed::cli
