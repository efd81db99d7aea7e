// The unfreed command, if it is installed: makes the last report of a process again, with source lines, and prints the
// summary if a rule is broken; finds the source lines of call sites.
#pragma once

#include <cstdint>

#include "base/text.h"
#include "report/answer.h"

namespace unfreed::runtime {

/// Runs `unfreed finish` on this process's ledger, which must have ended, and waits for it with a limit. In a copy
/// of the process only (child_process.h). `may_speak`: a rule may be broken, so it may have to print the summary.
/// False: there is no command, or it has failed.
bool finish_with_command(uint32_t report_number, bool may_speak, report::Answer& answer);

/// Has the command describe call sites of this process, which goes on (evaluate/held_sites.h): `held_sites` as
/// add_held_sites() writes them, `out` as describe_held_sites() does. In a copy of the process only, whose standard
/// output it closes. False: there is no command, or it has failed.
bool describe_with_command(const char* held_sites, base::TextBuilder& out, int milliseconds);

}  // namespace unfreed::runtime
