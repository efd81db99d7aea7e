// The ledger and the kernel's list of descriptors of a process that is running. They cannot be read at the same moment;
// if they are read in the right order, and what changed in between is read again, they agree. For the command, from
// outside the process.
#pragma once

#include "ledger/copy.h"

namespace unfreed::report {

/// Loads the ledger from an open file and enters the kernel facts of `pid` (unless the process has entered them
/// itself). `out` is loaded even if no kernel facts are available; the ledger is then marked as not
/// reconciled.
ledger::CopyError load_running_ledger(long file, int pid, ledger::Copy& out);

}  // namespace unfreed::report
