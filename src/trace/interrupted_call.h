// Waits that stopping a thread would cut short. When a thread is stopped, or is woken by a signal that it ignores
// (which the kernel hides from nobody who is traced), the kernel makes most calls begin anew by themselves. Some end
// with EINTR instead: epoll_wait, semop, sigtimedwait, io_getevents, and sockets with a time limit (signal(7)).
// Untraced, they would have gone on.
//
//     result EINTR  ──▶  "again, unless a handler runs" (ERESTARTNOHAND)
//
//     then: a handler runs ──▶  EINTR, as ever
//           none does      ──▶  the call begins anew, with all of its timeout
//
// A wait that has lasted for its timeout ends as timeouts do, so it takes at most twice as long, however often it is
// woken. A socket's time limit is not known, so that such a call may begin anew without end.
#pragma once

#include <sys/ptrace.h>

#include <cstdint>

namespace unfreed::trace {

/// A call that a thread is in.
struct WaitBegun {
  uint64_t since_ns = 0;    ///< CLOCK_MONOTONIC; 0: not known
  bool is_resumed = false;  ///< it will be seen to begin once more
  bool may_be_cut = false;  ///< it is one of those
};

/// The thread begins a call.
void note_wait(WaitBegun& wait, const __ptrace_syscall_info& begun);

/// The thread has stopped, behind a call that it was in or on its way back from one.
void go_on_waiting(int tid, WaitBegun& wait);

}  // namespace unfreed::trace
