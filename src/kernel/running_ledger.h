// A ledger and the kernel's word on its descriptors, of a process that runs on meanwhile. The two cannot be taken at
// one moment; taken in the right order, and what changed in between looked at again, they agree. For the command, from
// outside the process.
#pragma once

#include "ledger/copy.h"

namespace unfreed::report {

/// Loads the ledger from an open file and enters the kernel facts of `pid` (unless they were taken already by the
/// process itself). `out` is loaded also when there are no kernel facts to be had; the ledger then says that it is not
/// reconciled.
ledger::CopyError load_running_ledger(long file, int pid, ledger::Copy& out);

}  // namespace unfreed::report
