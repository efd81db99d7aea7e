// unfreed finish: makes the last report of a process without a launcher again, with source lines, and prints the
// summary where a rule is broken: what the runtime calls where one may be, or something is left. Hidden: its arguments
// are between the runtime and this file, its status is one of report/answer.h.
//
//     unfreed finish --ledger-is PID:DEVICE:INODE --program=NAME --report-number N [--silent]
//                    [options of the settings that reports use: settings/settings.inc] LEDGER
//
// With --held-sites, of a process that goes on: writes no report, but describes these call sites on standard output
// (evaluate/held_sites.h), and ends with 0.
//
// The process says in arguments what the report is to do. The ledger says what it holds, and is read only if it is
// the very file that the process has mapped: another file may have its name by now. It is not removed.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "base/unique_fd.h"
#include "cli/command.h"
#include "cli/ledger_report.h"
#include "cli/settings_input.h"
#include "cli/suppression_files.h"
#include "cli/text_file.h"
#include "evaluate/held_sites.h"
#include "kernel/program_facts.h"
#include "ledger/copy.h"
#include "render/json.h"
#include "render/text.h"
#include "report/answer.h"
#include "settings/settings.h"

namespace unfreed::cli {

namespace {

/// What the process says about its report, beside its settings.
struct Wanted {
  std::string program;
  uint32_t number = 1;
  bool silent = false;
  std::string held_sites;
};

bool write(const ledger::View& view, const report::Settings& settings, std::string_view json, std::string& path,
           std::string& error) {
  OutputOptions options;
  options.only_files = true;  // the process has written to what is none
  options.replaces_anything = settings.force;
  std::array<char, 32> started;
  return write_process_report(report::author_of(view, started), settings.output, json, options, path, error);
}

void print_summary(const report::Report& report, const std::string& path) {
  render::TextOptions options;
  options.colour = render::wants_colour(STDERR_FILENO);
  std::string text = render::render_text(report, options) + "\nreport: " + options.paths.shorten(path) + "\n";
  write_message(text);
}

/// False: standard output could not be written.
bool describe(const ledger::View& view, const report::Settings& settings, const Wanted& wanted) {
  constexpr size_t kMostSites = 1024, kMostText = size_t{4} << 20;
  std::vector<report::HeldSite> sites(kMostSites);
  sites.resize(report::read_held_sites(wanted.held_sites, sites));
  ReportRequest request;
  request.trigger = report::Trigger::api;
  request.settings = &settings;
  SuppressionFiles suppressions;
  std::string error;
  suppressions.read(settings.suppressions, NamedBy::ledger, error);  // of what cannot be read the last report speaks
  request.suppressions = suppressions.all();
  symbolize::Symbolizer symbolizer;
  OwnedReport made = make_report(view, request, symbolizer);
  std::vector<char> storage(kMostText);
  base::TextBuilder text(storage);
  report::describe_held_sites(made.report, sites, text);
  return base::write_all(STDOUT_FILENO, text.text());
}

report::Answer finish(const ledger::View& view, const std::string& ledger_path, const report::Settings& settings,
                      const Wanted& wanted) {
  ReportRequest request;
  request.trigger = report::Trigger::exit;
  request.settings = &settings;
  request.most_sites = settings.top;
  SuppressionFiles suppressions;
  std::string error;
  bool is_checked = true;
  if (!suppressions.read(settings.suppressions, NamedBy::ledger, error)) {
    is_checked = settings.rules.count == 0;
    complain(error);
    request.notes.push_back(error);
  }
  request.suppressions = suppressions.all();
  symbolize::Symbolizer symbolizer;
  OwnedReport made = make_report(view, request, symbolizer);
  report::Answer answer;
  answer.verdict = report::is_broken(made.report)                     ? report::Verdict::broken
                   : report::is_unchecked(made.report) || !is_checked ? report::Verdict::unchecked
                                                                      : report::Verdict::passed;
  std::string path = output_path(settings.output, wanted.program, view.header().pid, wanted.number, error);
  if (path.empty() || !write(view, settings, render::write_json(made.report, report::StackForm::file), path, error)) {
    complain(fmt::format("report {} cannot be written: {}; the ledger is kept: {}",
                         path.empty() ? std::string(settings.output) : path, error, ledger_path));
    return answer;
  }
  answer.written = true;
  if (answer.verdict == report::Verdict::broken && !settings.quiet && !wanted.silent) print_summary(made.report, path);
  return answer;
}

/// Loads the ledger if it is the file that `identity` says, "PID:DEVICE:INODE". False: a line says why not.
bool load(const std::string& path, const std::string& identity, ledger::Copy& copy) {
  base::UniqueFd file(base::open_file(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  ledger::CopyError error = file ? copy.load(file.get()) : ledger::CopyError{"cannot be opened", file.error()};
  struct stat status {};
  if (!error && fstat(file.get(), &status) == 0 &&
      identity != fmt::format("{}:{}:{}", copy.view().header().pid, status.st_dev, status.st_ino))
    error.message = "is another file than that of the process";
  if (!error) return true;
  complain(fmt::format("{}: {}{}{}", path, error.message, error.error ? ": " : "",
                       error.error ? std::strerror(error.error) : ""));
  return false;
}

}  // namespace

int finish_command(const Arguments& arguments) {
  Parser parser("finish", "[OPTIONS] LEDGER", "Makes the report of a process that has no launcher, for the runtime.");
  std::string path;
  std::string identity;
  Wanted wanted;
  SettingsInput input;
  parser.operand("LEDGER", path, "the process's ledger");
  parser.value("--ledger-is", "PID:DEVICE:INODE", identity, "which file that is");
  parser.value("--program", "NAME", wanted.program, "what %e stands for");
  parser.value("--report-number", "N", wanted.number, "number of this report in the process");
  parser.flag("--silent", wanted.silent, "no summary: standard error is not the process's own any more");
  parser.value("--held-sites", "SITES", wanted.held_sites, "describe these, and write no report");
  input.add_options(parser, [](const report::SettingRow& row) { return row.used_by != report::SettingUse::process; });
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (!input.read()) return kFailure;
  signal(SIGPIPE, SIG_IGN);  // the exit status is needed whether or not the summary is read
  ledger::Copy copy;
  if (!load(path, identity, copy)) return kFailure;
  report::cover_inner_allocator(copy.writer(), report::find_inner_allocator(copy.writer()));
  if (!wanted.held_sites.empty()) return describe(copy.view(), input.settings(), wanted) ? kSuccess : kFailure;
  return report::to_status(finish(copy.view(), path, input.settings(), wanted));
}

}  // namespace unfreed::cli
