// unfreed finish: makes the last report of a process without a launcher again, with source lines, and prints the
// summary where a rule is broken: what the runtime calls where one may be, or something is left. Hidden: its arguments
// are between the runtime and this file, its status is one of report/answer.h.
//
//     unfreed finish --report-number N LEDGER
//
// All settings are in the ledger's header. The ledger is left where it is.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
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

bool write(const ledger::View& view, std::string_view output_template, std::string_view json, std::string& path,
           std::string& error) {
  OutputOptions options;
  options.only_files = true;  // the process has written to what is none
  options.replaces_anything = view.header().flags.load(std::memory_order_relaxed) & ledger::kHeaderFlagForce;
  std::array<char, 32> started;
  return write_process_report(report::author_of(view, started), output_template, json, options, path, error);
}

void print_summary(const report::Report& report, const std::string& path) {
  render::TextOptions options;
  options.colour = render::wants_colour(STDERR_FILENO);
  std::string text = render::render_text(report, options) + "\nreport: " + options.paths.shorten(path) + "\n";
  // The process waits for this at its end, and who should read it may wait for the process.
  constexpr int kPatienceMilliseconds = 2000;
  write_message(text, kPatienceMilliseconds);
}

report::Answer finish(const ledger::View& view, const std::string& ledger_path, uint32_t number) {
  const ledger::Header& header = view.header();
  ReportRequest request;
  request.trigger = report::Trigger::exit;
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
  request.rules_for = view.text(header.rules_for);
  request.suppressions = suppressions.all();
  symbolize::Symbolizer symbolizer;
  OwnedReport made = make_report(view, request, symbolizer);
  report::Answer answer;
  answer.verdict = report::is_broken(made.report)                     ? report::Verdict::broken
                   : report::is_unchecked(made.report) || !is_checked ? report::Verdict::unchecked
                                                                      : report::Verdict::passed;
  std::string_view output_template = view.text(header.output);
  std::string path = output_path(view, output_template, number, error);
  if (path.empty() ||
      !write(view, output_template, render::write_json(made.report, report::StackForm::file), path, error)) {
    complain(fmt::format("report {} cannot be written: {}; the ledger is kept: {}",
                         path.empty() ? output_template : path, error, ledger_path));
    return answer;
  }
  answer.written = true;
  if (answer.verdict == report::Verdict::broken && !header.quiet) print_summary(made.report, path);
  return answer;
}

}  // namespace

int finish_command(const Arguments& arguments) {
  Parser parser("finish", "[OPTIONS] LEDGER", "Makes the report of a process that has no launcher, for the runtime.");
  std::string ledger_path;
  uint32_t number = 1;
  parser.operand("LEDGER", ledger_path, "the process's ledger");
  parser.value("--report-number", "N", number, "number of this report in the process");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  signal(SIGPIPE, SIG_IGN);  // the answer is wanted whether or not anybody reads the summary
  ledger::Copy copy;
  base::UniqueFd file(open(ledger_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (ledger::CopyError error = copy.load(file.get())) {
    complain(fmt::format("{}: {}{}{}", ledger_path, error.message, error.error ? ": " : "",
                         error.error ? std::strerror(error.error) : ""));
    return kFailure;
  }
  report::cover_inner_allocator(copy.writer(), report::find_inner_allocator(copy.writer()));
  return report::to_status(finish(copy.view(), ledger_path, number));
}

}  // namespace unfreed::cli
