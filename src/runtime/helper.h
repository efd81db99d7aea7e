// The unfreed command, if it is installed: makes the last report of a process again, with source lines, and prints the
// summary if a rule is broken.
#pragma once

#include <cstdint>

#include "report/answer.h"

namespace unfreed::runtime {

/// Runs `unfreed finish` on this process's ledger, which must have ended, and waits for it with a limit. In a copy
/// of the process only (child_process.h). `may_speak`: a rule may be broken, so it may have to print the summary.
/// False: there is no command, or it has failed.
bool finish_with_command(uint32_t report_number, bool may_speak, report::Answer& answer);

}  // namespace unfreed::runtime
