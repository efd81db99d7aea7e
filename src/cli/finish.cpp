// unfreed finish: makes the last report of a process without a launcher again, with source lines, and prints the
// summary where a rule is broken: what the runtime calls where one may be, or something is left. Hidden: its arguments
// are between the runtime and this file, its status is one of report/answer.h.
//
//     unfreed finish --ledger-is PID:DEVICE:INODE --output TEMPLATE --program=NAME --report-number N [--fail-on RULES]
//                    [--suppressions FILES] [--allow-untracked PATTERNS] [--rules-for PATTERNS] [--force] [--quiet]
//                    LEDGER
//
// What the report does is said by the process, in arguments. The ledger says what it holds, and is read only if it is
// the very file that the process has mapped: something else may lie under its name by now. It is left where it is.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/unique_fd.h"
#include "cli/command.h"
#include "cli/ledger_report.h"
#include "cli/suppression_files.h"
#include "cli/text_file.h"
#include "kernel/program_facts.h"
#include "ledger/copy.h"
#include "render/json.h"
#include "render/text.h"
#include "report/answer.h"
#include "settings/settings.h"

namespace unfreed::cli {

namespace {

/// From the process that the report is about.
struct Settings {
  std::string output;
  std::string program;
  std::string rules;
  std::string suppressions;
  std::string allow_untracked;
  std::string rules_for;
  uint32_t number = 1;
  bool force = false;
  bool quiet = false;
};

bool write(const ledger::View& view, const Settings& settings, std::string_view json, std::string& path,
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
  // The process waits for this at its end, and who should read it may wait for the process.
  constexpr int kPatienceMilliseconds = 2000;
  write_message(text, kPatienceMilliseconds);
}

report::Answer finish(const ledger::View& view, const std::string& ledger_path, const Settings& settings) {
  ReportRequest request;
  request.trigger = report::Trigger::exit;
  report::RuleSet rules;
  report::ParseError bad_rules;
  bool is_checked = report::parse_rules(settings.rules, rules, bad_rules);
  if (!is_checked) complain(fmt::format("rules '{}': {}", settings.rules, bad_rules.message));
  SuppressionFiles suppressions;
  std::string error;
  if (!suppressions.read(settings.suppressions, NamedBy::ledger, error)) {
    is_checked = is_checked && rules.count == 0;
    complain(error);
    request.notes.push_back(error);
  }
  request.rules = rules.all();
  request.rules_for = settings.rules_for;
  request.suppressions = suppressions.all();
  request.allow_untracked = settings.allow_untracked;
  symbolize::Symbolizer symbolizer;
  OwnedReport made = make_report(view, request, symbolizer);
  report::Answer answer;
  answer.verdict = report::is_broken(made.report)                     ? report::Verdict::broken
                   : report::is_unchecked(made.report) || !is_checked ? report::Verdict::unchecked
                                                                      : report::Verdict::passed;
  std::string path = output_path(settings.output, settings.program, view.header().pid, settings.number, error);
  if (path.empty() || !write(view, settings, render::write_json(made.report, report::StackForm::file), path, error)) {
    complain(fmt::format("report {} cannot be written: {}; the ledger is kept: {}",
                         path.empty() ? settings.output : path, error, ledger_path));
    return answer;
  }
  answer.written = true;
  if (answer.verdict == report::Verdict::broken && !settings.quiet) print_summary(made.report, path);
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
  Settings settings;
  parser.operand("LEDGER", path, "the process's ledger");
  parser.value("--ledger-is", "PID:DEVICE:INODE", identity, "which file that is");
  parser.value("--output", "FILE", settings.output, "the report's file");
  parser.value("--program", "NAME", settings.program, "what %e stands for");
  parser.value("--report-number", "N", settings.number, "number of this report in the process");
  parser.value("--fail-on", "RULES", settings.rules, "rules");
  parser.value("--suppressions", "FILES", settings.suppressions, "suppression files");
  parser.value("--allow-untracked", "PATTERNS", settings.allow_untracked, "programs that need not be tracked");
  parser.value("--rules-for", "PATTERNS", settings.rules_for, "programs that rules are for");
  parser.flag("--force", settings.force, "let any file be replaced");
  parser.flag("--quiet", settings.quiet, "no summary");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  signal(SIGPIPE, SIG_IGN);  // the answer is wanted whether or not anybody reads the summary
  ledger::Copy copy;
  if (!load(path, identity, copy)) return kFailure;
  report::cover_inner_allocator(copy.writer(), report::find_inner_allocator(copy.writer()));
  return report::to_status(finish(copy.view(), path, settings));
}

}  // namespace unfreed::cli
