// How a process ended that left its ledger: by a signal, or by a system call of its own. Its parent knows when it waits
// for it.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/text.h"
#include "ledger/file_names.h"

namespace unfreed::ledger {

/// Enters `wait_status`, from waitpid, in the ledger of process `parts`, if it still lies in the run's folder (a
/// process that ends in order leaves none under this name) and nobody has entered one before. `collector`: who waited
/// for it, its parent, or who has adopted it; 0: not known. `prefix`: of paths there, from `directory` (a descriptor,
/// or AT_FDCWD). Thread-safe, async-signal-safe; if there is no such ledger, one system call.
void note_wait_status(long directory, std::string_view prefix, const FileName& parts, int collector, int wait_status);

/// The same of a child whose number is not known, which system() has started after `since_boottime_ns` (CLOCK_BOOTTIME)
/// and waited for. Does nothing if it may have been one of several. `folder`: path of the run's, with a '/' at its end.
void note_wait_status_of_command(std::string_view folder, uint64_t pid_namespace, int parent,
                                 uint64_t since_boottime_ns, int wait_status);

}  // namespace unfreed::ledger
