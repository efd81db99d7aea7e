// The tracer: a process of its own, which is stopped for nothing itself. It seizes the command before that executes its
// program, follows all that it starts, and writes a ledger for each program that cannot load the runtime (or, on
// request, for each program).
//
//     launcher ── fork ──▶ tracer
//        │                    ▲ seizes
//        └─ vfork ──▶ command ┘   asks for it, installs the filter, executes its program
//
// It ends with the last process that it traces. Signals, stops and statuses reach the traced processes and their
// parents as they would without it. Were it killed, the filtered calls of its processes would fail with ENOSYS: signals
// do not reach it, and a fault of its own lets them go on untracked (trace/pass_through.h).
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <span>
#include <vector>

#include "base/unique_fd.h"
#include "trace/trace_loop.h"

namespace unfreed::trace {

/// Started, and waiting for the command.
class Tracer {
 public:
  /// Forks it. `setup` is copied along with all memory.
  explicit Tracer(const TraceSetup& setup);
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  /// In the command, before it executes its program: has itself traced. 0 or an errno: nothing has been changed then.
  /// After vfork, too: async-signal-safe, allocates nothing.
  int trace_me() const;
  /// 0, or why there is none (errno).
  int error() const { return error_; }
  pid_t pid() const { return pid_; }
  /// After a fault of its own: its processes have gone on untracked since.
  bool has_given_up() const { return has_given_up_ && *has_given_up_; }

 private:
  std::vector<sock_filter> filter_;
  base::UniqueFd own_;
  volatile bool* has_given_up_ = nullptr;  ///< shared memory, until this process ends
  pid_t pid_ = -1;
  int error_ = 0;
};

}  // namespace unfreed::trace
