// unfreed check: rules applied to reports already written.
#include <fmt/format.h>

#include <cstdio>

#include "cli/command.h"
#include "cli/report_source.h"
#include "cli/settings_input.h"
#include "cli/untracked_programs.h"
#include "render/paths.h"
#include "render/text.h"
#include "settings/programs.h"

namespace unfreed::cli {

namespace {

struct Verdict {
  bool broken = false;
  bool failed = false;
  bool judged = false;  ///< the rules apply to at least one of the reports
};

void check_file(const std::string& file, const report::Settings& settings, symbolize::Symbolizer& symbolizer,
                Verdict& verdict) {
  std::string error;
  std::optional<SourcedReport> source = read_report(file, symbolizer, error);
  if (!source) {
    complain(error);
    verdict.failed = true;
    return;
  }
  for (const report::UntrackedProgram& one : source->report().untracked) {
    bool is_accepted = one.allowed || may_go_untracked(settings, std::string(one.program));
    if (!source->report().of_run || is_accepted) continue;
    complain(fmt::format("{}: {} was not tracked: {}; use --allow-untracked '{}' to accept that", file, one.program,
                         one.reason, render::base_name(one.program)));
    verdict.failed = true;
  }
  const report::Process& process = source->report().process;
  bool is_outside = settings.rules_for.empty() ? process.outside_rules  // as in the run
                                               : !report::rules_are_for(settings.rules_for, process);
  if (is_outside) {
    if (!settings.quiet)
      complain(fmt::format("{}: rules do not apply to {} (use --rules-for '*' to apply them)", file,
                           render::describe_process(process)));
    return;
  }
  verdict.judged = true;
  for (const report::Rule& rule : settings.rules.all()) {
    report::RuleOutcome outcome = report::evaluate_rule(rule, source->report());
    if (!outcome.is_checked()) {
      complain(fmt::format("{}: {}", file, render::describe_verdict(outcome)));
      verdict.failed = true;
      continue;
    }
    verdict.broken |= outcome.broken;
    std::string text =
        fmt::format("{}: {}: {}\n", render::printable(file), render::describe_process(source->report().process),
                    render::describe_verdict(outcome));
    if (!settings.quiet) std::fwrite(text.data(), 1, text.size(), stdout);
  }
}

}  // namespace

int check_command(const Arguments& arguments) {
  Parser parser("check", "[OPTIONS] FILE... --fail-on RULES",
                "Applies rules to existing reports, with the suppressions that the reports were made with.");
  std::vector<std::string> files;
  SettingsInput input;
  parser.operands("FILE", files, "report JSON, series or ledger; - is standard input");
  input.add_options(parser, {"fail-on", "allow-untracked", "rules-for", "exit-code", "quiet"});
  parser.footer(
      "Exit status: 0 all rules pass, 23 (--exit-code) a rule is broken, 125 a file or a rule cannot be read, or a "
      "rule "
      "cannot be checked because its kind was not tracked.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (!input.read()) return kFailure;
  if (input.settings().rules.count == 0) {
    complain("no rules given: use --fail-on RULES, such as 'fd>0,heap.bytes>1M'");
    return kFailure;
  }
  symbolize::Symbolizer symbolizer;
  Verdict verdict;
  for (const std::string& file : files) check_file(file, input.settings(), symbolizer, verdict);
  if (verdict.broken) return input.settings().exit_code;
  if (!verdict.judged && !verdict.failed) complain("no rule was checked: the rules apply to none of the reports");
  return verdict.failed || !verdict.judged ? kFailure : kSuccess;
}

}  // namespace unfreed::cli
