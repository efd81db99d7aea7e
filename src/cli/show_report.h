// What becomes of the report on a process that runs on.
#pragma once

#include <string>

#include "cli/ledger_report.h"
#include "settings/settings.h"

namespace unfreed::cli {

/// Writes the report, and the summary to stderr. `output` "": `error` is why it has no name. False: a line has been
/// printed.
bool show_report(OwnedReport& made, const std::string& output, const report::Settings& settings, std::string& error);

/// The command's exit status.
int status_after(const report::Report& report, const report::Settings& settings);

}  // namespace unfreed::cli
