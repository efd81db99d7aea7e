// Finds the stacks of a running process's threads from outside: for each thread that waits in a system call the kernel
// gives its stack pointer and program counter, and lets its stack be read. Nothing is stopped or signalled.
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

/// Enters the goroutines of `pid`, if it is a traced Go program, or why they are not known.
void take_goroutines(ledger::Copy& copy, int pid);

/// Enters the stacks of `pid`'s threads into the thread records of its ledger's copy. Looks for the process's files
/// under /proc/PID/root. Returns a note for the report if the kernel denies access.
std::optional<std::string> take_live_stacks(ledger::Copy& copy, int pid, LiveStacks which);

}  // namespace unfreed::cli
