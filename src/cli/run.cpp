// unfreed run: the options, checked before anything starts.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/launcher.h"
#include "cli/locate.h"

namespace unfreed::cli {

namespace {
std::string options_as_variables() {
  std::string names;
  for (const report::SettingRow& row : report::setting_rows())
    if (*row.option) names += (names.empty() ? "" : ", ") + std::string(row.variable);
  return "The options can also be given as variables (" + names + "); options take precedence.";
}

std::string exit_statuses() {
  std::string text;
#define EXIT_STATUS(name, number, meaning) text += "  " #number ": " meaning "\n";
#include "settings/exit_statuses.inc"
#undef EXIT_STATUS
  text.pop_back();
  return text;
}
}  // namespace

int run_command(const Arguments& arguments) {
  Parser parser(
      "run", "[OPTIONS] [--] CMD [ARGS...]",
      "Runs CMD, and every process it starts, under unfreed. Standard input and output belong to CMD alone; the "
      "summary goes to standard error, the reports to files.");
  LaunchPlan plan;
  SettingsInput input;
  input.add_options(parser);
  parser.flag("--all-reports", plan.all_reports, "write a report for every process, even one that holds nothing");
  std::vector<std::string> outputs;
  parser.values(
      "--write", "FORMAT=FILE", outputs,
      "when the run is over, also write its reports (of programs that the rules are for, and CMD's) as one text "
      "in FORMAT, as `unfreed report` does; FORMAT+=FILE appends; may be given several times");
  parser.footer(options_as_variables() +
                "\n\nExit status: CMD's own if it is not 0 (128+N for signal N); else 0, or:\n" + exit_statuses());
  size_t options = parser.count_options(arguments);
  Arguments own(arguments.begin(), arguments.begin() + static_cast<ptrdiff_t>(options));
  plan.words.assign(arguments.begin() + static_cast<ptrdiff_t>(options), arguments.end());
  if (!own.empty() && own.back() == "--") own.pop_back();
  if (std::optional<int> status = parser.parse(own)) return *status;
  if (plan.words.empty()) {
    complain("no CMD given (try 'unfreed run --help')");
    return kFailure;
  }
  if (!input.read()) return kFailure;
  std::string error;
  for (const std::string& output : outputs) {
    if (parse_run_output(output, plan.outputs.emplace_back(), error)) continue;
    complain(error);
    return kFailure;
  }
  SuppressionFiles suppressions;
  if (!suppressions.read(input.settings().suppressions, NamedBy::user, error)) {
    // With rules the run must not start: what the suppressions should cover would break them.
    bool ends = input.is_option("UNFREED_SUPPRESSIONS") || input.settings().rules.count > 0;
    complain(ends ? error : error + "; it suppresses nothing");
    if (ends) return kFailure;
  }
  std::string tried;
  plan.runtime = find_runtime(tried);
  if (plan.runtime.empty()) {
    complain("libunfreed.so is missing; searched: " + tried);
    return kFailure;
  }
  return launch(plan, input, suppressions);
}

}  // namespace unfreed::cli
