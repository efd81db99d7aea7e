// unfreed finish: what the runtime calls for a process without a launcher. Hidden: its arguments and status are between
// the runtime and this file.
//
//     unfreed finish --trigger exit|signal|api [--report-number N] [--output FILE] LEDGER
//
// All settings are in the ledger's header. The ledger is left where it is.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "cli/command.h"
#include "cli/ledger_report.h"
#include "cli/live_stacks.h"
#include "cli/suppression_files.h"
#include "cli/text_file.h"
#include "ledger/copy.h"
#include "render/text.h"
#include "report/describe.h"
#include "report/running_ledger.h"
#include "report/settings.h"

namespace unfreed::cli {

namespace {

// What the runtime knows; anything else means that this helper failed, and it makes the report itself.
constexpr int kFine = 0;
constexpr int kRuleBroken = 3;
constexpr int kRuleUnchecked = 4;
constexpr int kNotWritten = 5;

bool has_flag(const ledger::View& view, uint32_t flag) {
  return (view.header().flags.load(std::memory_order_relaxed) & flag) != 0;
}

/// A process without a launcher has one name for its report; those it forked must not write over it.
bool needs_pid(const ledger::View& view) {
  if (has_flag(view, ledger::kHeaderFlagForked)) return true;
  return has_flag(view, ledger::kHeaderFlagManaged) && !has_flag(view, ledger::kHeaderFlagRoot);
}

void print_summary(const report::Report& report, const std::string& path) {
  render::TextOptions options;
  options.colour = render::wants_colour(STDERR_FILENO);
  std::string text = render::render_text(report, options) + "\nreport: " + options.paths.shorten(path) + "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);
}

/// At the end the process has asked the kernel itself; before it, that is done here.
ledger::CopyError load(const std::string& path, report::Trigger trigger, ledger::Copy& copy) {
  ledger::CopyError error = copy.load(path.c_str());
  if (error || trigger == report::Trigger::exit) return error;
  int pid = copy.view().header().pid;
  error = report::load_running_ledger(path.c_str(), pid, copy);
  // It may have had no descriptor left to ask the kernel with.
  if (!error) take_live_stacks(copy, pid, LiveStacks::missing);
  return error;
}

int finish(const ledger::Copy& copy, const std::string& ledger_path, report::Trigger trigger, uint32_t number,
           const std::string& output) {
  const ledger::View& view = copy.view();
  const ledger::Header& header = view.header();
  ReportRequest request;
  request.trigger = trigger;
  report::RuleSet rules;
  report::ParseError bad_rules;
  bool is_checked = report::parse_rules(view.text(header.rules), rules, bad_rules);
  if (!is_checked) complain(fmt::format("rules '{}': {}", view.text(header.rules), bad_rules.message));
  SuppressionFiles suppressions;
  std::string error;
  if (!suppressions.read(view.text(header.suppressions), NamedBy::ledger, error)) {
    is_checked = is_checked && rules.count == 0;
    complain(error);
    request.notes.push_back(error);
  }
  request.rules = rules.all();
  request.suppressions = suppressions.all();
  symbolize::Symbolizer symbolizer;
  OwnedReport made = make_report(view, request, symbolizer);
  std::string_view output_template = output.empty() ? view.text(header.output) : std::string_view(output);
  std::string path = output_path(view, output_template, number, output.empty() && needs_pid(view));
  error = "its name is too long, or missing";
  if (path.empty() || !write_text_file(path, to_json(made.report, report::StackForm::file), error)) {
    complain(fmt::format("report {} cannot be written: {}; the ledger is kept: {}",
                         path.empty() ? output_template : path, error, ledger_path));
    return kNotWritten;
  }
  if (!header.quiet) print_summary(made.report, path);
  if (report::is_broken(made.report)) return kRuleBroken;
  return is_checked && !report::is_unchecked(made.report) ? kFine : kRuleUnchecked;
}

}  // namespace

int finish_command(const Arguments& arguments) {
  Parser parser("finish", "[OPTIONS] LEDGER", "Makes the report of a process that has no launcher, for the runtime.");
  std::string ledger_path;
  std::string trigger_name = "exit";
  std::string output;
  uint32_t number = 0;
  parser.operand("LEDGER", ledger_path, "the process's ledger");
  parser.value("--trigger", "exit|signal|api", trigger_name, "what the report is made for",
               {"exit", "signal", "api", "exhaustion"});
  parser.value("--report-number", "N", number, "number of this report in the process");
  parser.value("--output", "FILE", output, "where to, instead of the ledger's own setting");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  report::Trigger trigger = report::Trigger::exit;
  for (report::Trigger one : {report::Trigger::signal, report::Trigger::api, report::Trigger::exhaustion})
    if (report::word_of(one) == trigger_name) trigger = one;
  ledger::Copy copy;
  if (ledger::CopyError error = load(ledger_path, trigger, copy)) {
    complain(fmt::format("{}: {}{}{}", ledger_path, error.message, error.error ? ": " : "",
                         error.error ? std::strerror(error.error) : ""));
    return kFailure;
  }
  if (number == 0) number = copy.view().header().report_count.load(std::memory_order_relaxed) + 1;
  return finish(copy, ledger_path, trigger, number, output);
}

}  // namespace unfreed::cli
