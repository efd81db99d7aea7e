// Running CMD under the runtime: the environment it gets, waiting for it and its descendants' ledgers, the end.
#pragma once

#include <string>

#include "cli/command.h"
#include "cli/settings_input.h"
#include "cli/suppression_files.h"

namespace unfreed::cli {

struct LaunchPlan {
  Arguments words;      ///< CMD and its arguments
  std::string runtime;  ///< absolute path of libunfreed.so
  bool all_reports = false;
};

/// Runs it and returns the contract's exit status. One per process: it changes the process's signal state.
int launch(const LaunchPlan& plan, const SettingsInput& input, const SuppressionFiles& suppressions);

}  // namespace unfreed::cli
