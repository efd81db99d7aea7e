// Child processes of the runtime's own, which the host process does not notice: no SIGCHLD (exit signal
// 0), not found by its wait functions (track/own_child.h), no atfork handlers, no locks. Async-signal-safe.
//
// A program that is exec'ed gets SIGCHLD as its exit signal again, so it is never a child of the process:
// start_program() is for a copy, whose child it then is. No child is left to be reaped later: a zombie is visible, and
// an orphan would go to the next ancestor that adopts orphans (PR_SET_CHILD_SUBREAPER). So whoever starts one waits for
// it, with a limit; only a search that somebody outside has asked for is left alone, and that one asks again when it
// has ended.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unfreed::runtime {

/// How to run a helper program.
struct Program {
  const char* path;
  const char* const* arguments;    ///< NULL-terminated, [0] included
  const char* const* environment;  ///< NULL-terminated
  bool keeps_stderr;               ///< else its descriptor 2 is /dev/null
};

/// Starts `program`, in a copy; the caller is suspended until it has been exec'ed (like vfork: no memory is copied).
/// Its signals are at their defaults, descriptors from 3 on closed, 0 to 2 open; it is killed when the caller ends.
/// Returns its pid, or −errno if it could not be started. One at a time.
long start_program(const Program& program);

/// Runs `body`, after `body_before_closing`, in a copy of this process that has standard output and error, the
/// descriptor `kept` (−1: none), and room for more; the exit status is what `body` returns. Returns the pid, or
/// −errno. One at a time: it is track::g_own_child until wait_for_copy() or collect_left_copy() has returned. Call
/// track::own_child_begins() before, while other threads can still go on.
long start_copy(void* context, int kept, void (*body_before_closing)(void* context), int (*body)(void* context));

/// Waits for the copy that is under way, for as long as `milliseconds`, then kills it. Returns its exit status (0 –
/// 255), or −1 if it was killed, there is none, or its status is unknown. `may_sleep` false: it waits for nothing that
/// will happen. If it sleeps, a lock that it needs was held by another thread when it was made: it is killed at once.
int wait_for_copy(int milliseconds, bool may_sleep = true);

/// The caller does not wait for the copy that is under way: collect_left_copy() is called later. `begun_ns`: before it
/// was made (CLOCK_MONOTONIC).
void leave_copy(uint64_t begun_ns);
/// Collects it, if it has been left. False: it had not ended after `milliseconds`. `kills`: then it is killed, and
/// collected all the same, as is one that takes far too long. `status`: as of wait_for_copy(); untouched if none was
/// left. `begun_ns`: as it was left with.
bool collect_left_copy(int milliseconds, bool kills, int& status, uint64_t& begun_ns);

/// Waits for a child of this process that was made in any way; otherwise the same.
int wait_for(long pid, int milliseconds, bool may_sleep = true);

/// If no copy can be made: runs `body` in this thread, on a separate stack and with signals blocked. Returns what it
/// returns, or −1 without memory for a stack.
int run_on_own_stack(void* context, int (*body)(void* context));

/// Sleeps at most this long, less if a signal arrives. Returns the nanoseconds that passed, at most the requested ones:
/// time in which this process was stopped does not count.
uint64_t sleep_ns(uint64_t nanoseconds);

}  // namespace unfreed::runtime
