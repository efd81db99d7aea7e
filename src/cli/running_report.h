// The report on a process that runs on, evaluated as that process would: with its settings and suppressions, unless the
// user gives others.
#pragma once

#include <optional>
#include <string>

#include "cli/find_ledger.h"
#include "cli/ledger_report.h"
#include "cli/report_source.h"
#include "cli/suppression_files.h"
#include "settings/settings.h"

namespace unfreed::cli {

/// A report and everything that it refers to.
struct RunningReport {
  LoadedLedger ledger;
  report::Settings settings;
  SuppressionFiles suppressions;
  OwnedReport owned;
};

/// A symbolizer for a process: its files are where it sees them.
symbolize::Symbolizer symbolizer_of(int pid);

/// What is read of the process besides its ledger.
enum class Depth : uint8_t {
  ledger,  ///< nothing: cheap enough to be done again and again
  stacks,  ///< where its threads and goroutines wait
};

/// `given` and `symbolizer` must outlive the report. False: `error` is one line for the user.
bool make_running_report(int pid, const FoundLedger& found, const report::Settings& given, Depth depth,
                         symbolize::Symbolizer& symbolizer, RunningReport& out, std::string& error);

}  // namespace unfreed::cli
