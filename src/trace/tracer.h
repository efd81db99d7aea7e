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
//
// The observer, which the kernel tells what they do, is the same kind of process. Without it they go on untracked.
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "trace/call_recorder.h"

namespace unfreed::trace {

/// By stopping the processes at their calls (trace_loop.h), or by what the kernel tells (observe_loop.h).
enum class Method : uint8_t { stop, observe };

/// Started, and waiting for the command.
class Tracer {
 public:
  /// Forks it. `setup` is copied along with all memory. Method::observe: waits until it is ready, or cannot be.
  Tracer(const TraceSetup& setup, Method method);
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  /// In the command, before it executes its program: has itself traced. 0 or an errno: nothing has been changed then.
  /// After vfork, too: async-signal-safe, allocates nothing.
  int trace_me() const;
  /// Returns once all that has happened is in the ledgers. False: the tracer does not answer, and it may not be.
  bool catch_up() const;
  /// 0, or why there is none (errno).
  int error() const { return error_; }
  /// Why nothing can be observed, in a line; "" it can.
  const std::string& problem() const { return problem_; }
  Method method() const { return method_; }
  pid_t pid() const { return pid_; }
  /// After a fault of its own: its processes have gone on untracked since.
  bool has_given_up() const { return has_given_up_ && *has_given_up_; }

 private:
  int wait_until_ready();

  Method method_;
  std::string problem_;
  std::vector<sock_filter> filter_;
  base::UniqueFd own_;
  volatile bool* has_given_up_ = nullptr;  ///< shared memory, until this process ends
  pid_t pid_ = -1;
  int error_ = 0;
};

}  // namespace unfreed::trace
