// Finds a thread of a process through which /proc shows what the process holds.
//
// A main thread that ends by pthread_exit leaves the process running, but the kernel removes that thread's descriptors,
// memory and root folder: its /proc/PID/fd, maps and root are empty then. /proc/PID/task/TID has the same entries for
// every thread, and those of a running thread are complete.
#pragma once

namespace unfreed::base {

/// `pid` if its main thread is running, else the number of a thread that is; `pid` if none is.
/// Async-signal-safe.
int live_thread(int pid);

}  // namespace unfreed::base
