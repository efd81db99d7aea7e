// Where the threads of a running process stand, found from outside: the kernel tells of each thread that waits in a
// system call its stack pointer and program counter, and lets its stack be read. Nothing is stopped or signalled.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ledger/copy.h"

namespace unfreed::cli {

enum class LiveStacks : uint8_t {
  all,
  missing,  ///< the process itself has entered what it could
};

/// Enters the stacks of `pid`'s threads into the thread records of its ledger's copy. The process's files are looked
/// for under /proc/PID/root. Returns a note for the report where the kernel does not allow it.
std::optional<std::string> take_live_stacks(ledger::Copy& copy, int pid, LiveStacks which);

}  // namespace unfreed::cli
