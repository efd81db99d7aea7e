// Which thread of a process to ask for what the process holds.
//
// A main thread that ends by pthread_exit leaves the process running, but the kernel takes that thread's descriptors,
// memory and root folder away: /proc/PID/fd, maps and root are empty then. /proc/PID/task/TID has the same entries for
// every thread, and those of a thread that runs are whole.
#pragma once

namespace unfreed::base {

/// `pid` where its main thread runs, otherwise the number of a thread that does; `pid` where none does.
/// Async-signal-safe.
int live_thread(int pid);

}  // namespace unfreed::base
