// unfreed run: the options, checked before anything starts.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/launcher.h"
#include "cli/locate.h"

namespace unfreed::cli {

int run_command(const Arguments& arguments) {
  Parser parser(
      "run", "[OPTIONS] [--] CMD [ARGS...]",
      "Runs CMD, and every process it starts, under unfreed. Standard input and output belong to CMD alone; the "
      "summary goes to standard error, the reports to files.");
  LaunchPlan plan;
  SettingsInput input;
  input.add_options(parser);
  parser.flag("--all-reports", plan.all_reports, "a report for every process, also for those that hold nothing");
  parser.footer(
      "The options are also to be had as variables (UNFREED_OUTPUT, UNFREED_TRACK, UNFREED_ONLY, UNFREED_FAIL_ON, "
      "UNFREED_EXITCODE, UNFREED_SIGNAL, UNFREED_DEPTH, UNFREED_SUPPRESSIONS, UNFREED_QUIET, UNFREED_FORCE); options "
      "win.\n\n"
      "Exit status: CMD's own if it is not 0 (128+N for signal N); else 23 (--exit-code) if a rule is broken; else 0.\n"
      "125 unfreed could not do its job, 126 CMD cannot be executed, 127 CMD was not found.");
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
  SuppressionFiles suppressions;
  std::string error;
  if (!suppressions.read(input.settings().suppressions, NamedBy::user, error)) {
    // With rules there is no going on: what was to be left out would break them.
    bool ends = input.is_option("UNFREED_SUPPRESSIONS") || input.settings().rules.count > 0;
    complain(ends ? error : error + "; nothing is suppressed by it");
    if (ends) return kFailure;
  }
  std::string tried;
  plan.runtime = find_runtime(tried);
  if (plan.runtime.empty()) {
    complain("libunfreed.so is missing; looked at: " + tried);
    return kFailure;
  }
  return launch(plan, input, suppressions);
}

}  // namespace unfreed::cli
