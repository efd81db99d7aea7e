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
  std::string without_own;  ///< why the process's own suppressions were not applied; "": they were, or others are given
  OwnedReport owned;
};

/// A symbolizer for a process: its files are where it sees them.
symbolize::Symbolizer symbolizer_of(int pid);

/// What is read of the process besides its ledger.
enum class Depth : uint8_t {
  as_left,  ///< nothing, not even the kernel's facts: they are in the ledger, which is not written to any more
  ledger,   ///< nothing: cheap enough to be done again and again
  stacks,   ///< where its threads and goroutines wait
};

/// Reads a process's own suppressions, which `files` are the names of. "" or, if they are not to be applied, why: the
/// file may be gone, or they belong to another user.
std::string read_own_suppressions(int pid, const FoundLedger& found, std::string_view files, SuppressionFiles& out);

/// Without a process's own suppressions more is counted than is to be: a rule that passes does so with them, too, but
/// one that is broken is not checked.
void doubt_broken_rules(report::Report& report);

/// `given` and `symbolizer` must outlive the report. The process's own suppressions may not be applied, as a note says.
/// False: `error` is one line for the user.
bool make_running_report(int pid, const FoundLedger& found, const report::Settings& given, Depth depth,
                         symbolize::Symbolizer& symbolizer, RunningReport& out, std::string& error);

/// What a process is to those who look at all processes of the machine.
enum class Look : uint8_t {
  made,     ///< its report is there
  passing,  ///< it is not tracked, or is just starting, executing another program, or ending
  failed,   ///< it is tracked and runs on, but there is no report; `error` is one line for the user
};

/// Reads its ledger only. Its number is that here: in its own namespace, one in each container has the number 1.
Look look_at(int pid, const FoundLedger& found, const report::Settings& given, symbolize::Symbolizer& symbolizer,
             RunningReport& out, std::string& error);

}  // namespace unfreed::cli
