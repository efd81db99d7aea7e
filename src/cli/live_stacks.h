// Where the threads of a running process stand, found from outside: the kernel tells of each thread that waits in a
// system call its stack pointer and program counter, and lets its stack be read. Nothing is stopped or signalled.
#pragma once

#include <optional>
#include <string>

#include "ledger/copy.h"

namespace unfreed::cli {

/// Enters the stacks of `pid`'s threads into the thread records of its ledger's copy. The process's files are looked
/// for under /proc/PID/root. Returns a note for the report where the kernel does not allow it.
std::optional<std::string> take_live_stacks(ledger::Copy& copy, int pid);

}  // namespace unfreed::cli
