// Watches a process that runs already: by stopping it (trace_loop.h), or by the kernel (observe_loop.h).
#pragma once

#include <atomic>

#include "trace/call_recorder.h"

namespace unfreed::trace {

class AttachedLoop {
 public:
  virtual ~AttachedLoop() = default;
  /// From now on. In the thread that then calls run_attached().
  virtual Attached attach(int pid) = 0;
  /// Until no watched process is left, or it is asked to end and its wait is interrupted by a signal. The ledgers are
  /// complete then; `has_ended` is an eventfd that says so.
  virtual void run_attached(const std::atomic<bool>& is_asked, int has_ended) = 0;
};

}  // namespace unfreed::trace
