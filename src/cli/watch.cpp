// unfreed watch: looks at a running process again and again, and says what grows.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "base/syscall.h"
#include "cli/command.h"
#include "cli/ending_signals.h"
#include "cli/find_ledger.h"
#include "cli/ledger_report.h"
#include "cli/process_watch.h"
#include "cli/report_source.h"
#include "cli/running_report.h"
#include "cli/settings_input.h"
#include "cli/suppression_files.h"
#include "cli/tracked_processes.h"
#include "render/text.h"
#include "settings/programs.h"

namespace unfreed::cli {

namespace {

constexpr std::string_view kDefaultSeries = "unfreed.%e.%p.series";

}  // namespace

int watch_command(const Arguments& arguments) {
  Parser parser("watch", "[OPTIONS] PID|NAME",
                "Looks at a running process that was started under unfreed again and again, until it ends or ^C, and "
                "says which call sites keep growing. The looks go to a series, a file that `unfreed report`, `check` "
                "and `diff` read, also while it grows. The process is not stopped, signalled or slowed down.");
  std::string target;
  std::string output(kDefaultSeries);
  uint32_t most_looks = 0;
  SettingsInput input;
  parser.operand(
      "PID|NAME", target,
      "pid of the process, or of its `unfreed run`; or the name of its program, if no other tracked process has it");
  parser.value("-o,--output", "FILE", output,
               "add the looks to the series in FILE; %p pid, %e program (default: unfreed.%e.%p.series)");
  parser.value("--looks", "N", most_looks, "end after N looks");
  input.add_options(parser, {"every", "fail-on", "exit-code", "rules-for", "suppressions", "quiet"});
  parser.footer(
      "Exit status: 0, or 23 (--exit-code) if a rule of --fail-on is broken; 125 if there is no such process, it is "
      "not tracked, a rule cannot be checked or the series cannot be written.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (!input.read()) return kFailure;
  const report::Settings& settings = input.settings();
  std::string error;
  int pid = find_target(target, error);
  if (!pid) {
    complain(error);
    return kFailure;
  }
  int process = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  EndingSignals signals;
  SuppressionFiles suppressions;
  if (!suppressions.read(settings.suppressions, NamedBy::user, error)) {
    complain(error);
    return kFailure;
  }
  ProcessWatch watch(pid, settings, settings.suppressions.empty() ? nullptr : &suppressions, EarlierSeries::continued);
  uint64_t every = settings.every_ns ? settings.every_ns : kDefaultEveryNs;
  uint64_t next = base::monotonic_ns();
  for (uint32_t looks = 1;; ++looks) {
    ProcessWatch::Outcome outcome = watch.look(output, error);
    bool has_begun = !watch.path().empty();
    if (outcome == ProcessWatch::Outcome::failed || (outcome != ProcessWatch::Outcome::done && !has_begun)) {
      complain(error);
      return kFailure;
    }
    if (outcome == ProcessWatch::Outcome::gone || looks == most_looks) break;
    // After a look that took longer than the interval, no look is made up for.
    next = std::max(next + every, base::monotonic_ns());
    if (!signals.wait_until(next, process)) break;
  }
  symbolize::Symbolizer symbolizer;
  std::optional<SourcedReport> source = read_report(watch.path(), symbolizer, error);
  if (!source) {
    complain(error);
    return kFailure;
  }
  report::Report& report = source->owned.report;
  report.process.outside_rules = !report::rules_are_for(settings.rules_for, report.process);
  if (!report.process.outside_rules)
    for (const report::Rule& rule : settings.rules.all())
      report.rules.add(source->owned.arena, report::evaluate_rule(rule, report));
  report.rules_asked = report.rules.size();
  if (!watch.without_own().empty()) {
    complain(watch.without_own());
    doubt_broken_rules(report);
  }
  if (!settings.quiet) {
    render::TextOptions options;
    options.colour = render::wants_colour(STDERR_FILENO);
    std::string text = render::render_text(report, options) + "\nseries: " + options.paths.shorten(watch.path()) + "\n";
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
  if (report::is_broken(report)) return settings.exit_code;
  return report::is_unchecked(report) ? kFailure : kSuccess;
}

}  // namespace unfreed::cli
