// A process that was not started under unfreed: what the kernel knows of it, as a report without call sites. Nothing is
// stopped or signalled.
#pragma once

#include <optional>
#include <string>

#include "cli/ledger_report.h"

namespace unfreed::cli {

/// Empty: the process may not be looked at, or has ended; `error` is one line.
std::optional<OwnedReport> make_kernel_report(int pid, std::string& error);

}  // namespace unfreed::cli
