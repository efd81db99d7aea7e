// How a process ended that left its ledger: by a signal, or by a system call of its own. Its parent knows when it waits
// for it.
#pragma once

#include "base/text.h"
#include "ledger/file_names.h"

namespace unfreed::ledger {

/// Enters `wait_status`, from waitpid, in the ledger of the child `parts` of process `parent`, if it still lies in the
/// run's folder (a process that ends in order leaves none under this name) and nobody has entered one before. `prefix`:
/// of paths there, from `directory` (a descriptor, or AT_FDCWD). Thread-safe, async-signal-safe; if there is no such
/// ledger, two system calls.
void note_wait_status(long directory, std::string_view prefix, FileName parts, int parent, int wait_status);

}  // namespace unfreed::ledger
