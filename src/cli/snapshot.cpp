// unfreed snapshot: a report on a process that runs on, without touching it.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "cli/command.h"
#include "cli/find_ledger.h"
#include "cli/kernel_report.h"
#include "cli/ledger_files.h"
#include "cli/ledger_report.h"
#include "cli/progress.h"
#include "cli/request_grading.h"
#include "cli/running_report.h"
#include "cli/selection_options.h"
#include "cli/settings_input.h"
#include "cli/show_report.h"
#include "cli/text_file.h"
#include "cli/tracked_processes.h"
#include "render/json.h"
#include "render/text.h"
#include "settings/programs.h"

namespace unfreed::cli {

namespace {

bool read_process(int pid, const FoundLedger& found, const report::Settings& settings, bool is_graded,
                  symbolize::Symbolizer& symbolizer, RunningReport& out, std::string& error) {
  Progress progress(fmt::format("reading process {}", pid));
  return (!is_graded || request_grading(pid, found.open.file.get(), error)) &&
         make_running_report(pid, found, settings, Depth::stacks, symbolizer, out, error);
}

/// Of a process that was not started under unfreed.
int show_untracked(int pid, const report::Settings& settings, const SelectionOptions& selection) {
  std::string error;
  if (!is_running(pid, 0)) {
    complain(fmt::format("no process {} is running", pid));
    return kFailure;
  }
  std::optional<OwnedReport> made = make_kernel_report(pid, error);
  if (!made) {
    complain(error);
    return kFailure;
  }
  report::Report& report = made->report;
  report.process.outside_rules = !report::rules_are_for(settings.rules_for, report.process);
  if (!report.process.outside_rules)
    for (const report::Rule& rule : settings.rules.all())
      report.rules.add(made->arena, report::evaluate_rule(rule, report));
  report.rules_asked = report.rules.size();
  selection.apply(*made);
  std::string program(base::base_name(report.process.exe));
  std::string output = output_path(settings.output, program, pid, 1, error);
  return show_report(*made, output, settings, error) ? status_after(report, settings) : kFailure;
}

}  // namespace

int snapshot_command(const Arguments& arguments) {
  Parser parser(
      "snapshot", "[OPTIONS] PID|NAME",
      "Reports on a running process: the report to a file, a summary to standard error. The process is not stopped, "
      "signalled or slowed down, except with --grade. If it was not started under unfreed, the report says what the "
      "kernel knows: descriptors by what they lead to, threads by where they wait, memory by kind.");
  std::string target;
  bool is_graded = false;
  SettingsInput input;
  SelectionOptions selection;
  parser.operand(
      "PID|NAME", target,
      "pid of the process, or of its `unfreed run`; or the name of its program, if no other tracked process has it");
  input.add_options(parser, {"output", "fail-on", "exit-code", "rules-for", "suppressions", "quiet", "force"});
  parser.flag("--grade", is_graded,
              "have the process search for lost heap blocks, streams and threads: it gets the report signal, and its "
              "threads are stopped for some milliseconds");
  selection.add_options(parser);
  parser.footer(
      "Exit status: 0, also for what the kernel knows of a process that is not tracked; 23 (--exit-code) if a rule of "
      "--fail-on is broken; 125 if there is no such process, it may not be looked at, a rule cannot be checked (none "
      "can, of a process that is not tracked) or the report cannot be written.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (!input.read() || !selection.read()) return kFailure;
  const report::Settings& settings = input.settings();
  std::string error;
  int pid = find_target(target, error);
  if (!pid) {
    complain(error);
    return kFailure;
  }
  FoundLedger found = find_ledger(pid);
  if (!found.open.file && is_graded) {
    complain(fmt::format("process {} cannot search for what it has lost: no ledger of it can be read", pid));
    return kFailure;
  }
  if (!found.open.file) return show_untracked(pid, settings, selection);
  symbolize::Symbolizer symbolizer = symbolizer_of(pid);
  RunningReport running;
  if (!read_process(pid, found, settings, is_graded, symbolizer, running, error)) {
    complain(error);
    return kFailure;
  }
  const ledger::View& view = running.ledger.copy.view();
  OwnedReport& made = running.owned;
  selection.apply(made);
  uint32_t number = view.header().report_count.load(std::memory_order_relaxed) + 1;
  std::string output = output_path(view, settings.output, number, error);
  return show_report(made, output, settings, error) ? status_after(made.report, settings) : kFailure;
}

}  // namespace unfreed::cli
