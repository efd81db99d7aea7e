// Where the other threads stand: their stacks as they are now, for a report.
//
// The kernel says where a thread that waits in a system call stands (/proc/self/task/TID/syscall: stack pointer and
// program counter), without disturbing it: no signal, no interrupted call. The stack is copied with a system call, so a
// thread that ends meanwhile does no harm, and the copy is walked. A thread that is running has no stack to show.
#pragma once

#include "unwind/frame.h"

namespace unfreed::track {

/// Enters the stacks of all threads into their records; the caller's own from `from`. Async-signal-safe; one thread at
/// a time.
void take_thread_stacks(const unwind::Registers& from);

/// In a copy of the process `pid`, whose ledger it shares: those that could not be taken there.
void take_missing_thread_stacks(int pid);

}  // namespace unfreed::track
