// Child processes of the runtime's own, made so that the process it lives in notices nothing: no SIGCHLD (exit signal
// 0), not found by wait(-1) (only __WALL sees them), no atfork handlers, no locks. Async-signal-safe.
#pragma once

#include <cstddef>

namespace unfreed::runtime {

/// What a helper program is run with.
struct Program {
  const char* path;
  const char* const* arguments;    ///< NULL-terminated, [0] included
  const char* const* environment;  ///< NULL-terminated
  bool keeps_stderr;               ///< else its descriptor 2 is /dev/null
};

/// Starts `program`; the caller is suspended until it has been exec'ed (like vfork: no memory is copied). Its signals
/// are at their defaults, descriptors from 3 on closed, 0 to 2 open. Returns its pid, or −errno if it could not be
/// started. One at a time.
long start_program(const Program& program);

/// Runs `body` in a copy of this process with its descriptors from 3 on closed after `body_before_closing` has run; the
/// exit status is what `body` returns. Returns the pid, or −errno.
long start_copy(void* context, void (*body_before_closing)(void* context), int (*body)(void* context));

/// Waits for a child of this kind. `block` false: only looks. Returns the exit status (0 – 255), −1 if it has not
/// ended, −2 if it was killed or is not known.
int wait_for(long pid, bool block);

}  // namespace unfreed::runtime
