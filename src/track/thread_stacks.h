// The current stacks of the other threads, for a report.
//
// The kernel gives the stack pointer and program counter of a thread that waits in a system call
// (/proc/self/task/TID/syscall) without disturbing it: no signal, no interrupted call. A system call copies the stack,
// so a thread that ends meanwhile does no harm, and the copy is walked. A running thread has no such stack.
#pragma once

#include "unwind/frame.h"

namespace unfreed::track {

/// Enters the stacks of all threads into their records; the caller's own from `from`. Async-signal-safe; one thread at
/// a time.
void take_thread_stacks(const unwind::Registers& from);

/// In a copy of the process `pid`, whose ledger it shares: those that could not be read there.
void take_missing_thread_stacks(int pid);

/// Of the process `pid` (0: this one): enters the stacks of those threads that the kernel lists and the thread table
/// does not, and recognises libc's own (timer_create's with SIGEV_THREAD, aio_read's …). Call it after
/// take_kernel_tasks().
void take_unlisted_thread_stacks(int pid);

}  // namespace unfreed::track
