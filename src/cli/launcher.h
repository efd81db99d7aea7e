// Runs CMD under the runtime: prepares its environment, waits for it and its descendants' ledgers, and reports.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/run_outputs.h"
#include "cli/settings_input.h"
#include "cli/suppression_files.h"

namespace unfreed::cli {

struct LaunchPlan {
  Arguments words;      ///< CMD and its arguments
  std::string runtime;  ///< absolute path of libunfreed.so
  bool all_reports = false;
  std::vector<RunOutput> outputs;
};

/// Runs it and returns the exit status. One per process: it changes the process's signal state.
int launch(const LaunchPlan& plan, const SettingsInput& input, const SuppressionFiles& suppressions);

}  // namespace unfreed::cli
