// What the tracer does with each stop.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "arch/traced_registers.h"
#include "trace/attached_loop.h"
#include "trace/call_recorder.h"
#include "trace/interrupted_call.h"

namespace unfreed::trace {

class TraceLoop : public AttachedLoop {
 public:
  explicit TraceLoop(TraceSetup setup) : recorder_(std::move(setup)) {}

  /// A process that is about to execute its program. 0 or an errno.
  int seize(int pid);
  /// Until no traced process is left.
  void run();

  /// A process that runs already: from now on all its threads stop at every system call, as no filter can be put on
  /// them. Those that wait go on to wait (trace/interrupted_call.h).
  Attached attach(int pid) override;
  /// Until no traced process is left, or it is asked to end, and its wait for a stop is interrupted. The ledgers are
  /// complete then; `has_ended` is an eventfd that says so. The caller, a thread, ends at once, and with that all that
  /// it traces go on as they are: nobody is stopped or woken for it. It may also be killed at any time: signals are
  /// left with the kernel until they are delivered.
  void run_attached(const std::atomic<bool>& is_asked, int has_ended) override;

 private:
  struct Thread {
    TracedProcess* process = nullptr;
    int call = -1;            ///< whose return is waited for: index of its row
    bool is_in_call = false;  ///< attached to: its next stop at a call is the call's end
    WaitBegun wait = {};      ///< attached to: the call that it is in
  };

  void stopped(int tid, int status);
  void gone(int tid, int status);
  void adopt(int tid, int event, long new_tid);
  bool is_runtimes_child(TracedProcess& parent, int tid, const arch::TracedRegisters& registers);
  void adopt_orphan(int tid);
  void find_orphans_of(int tid);
  void handle_early_stop(int tid);
  void seen_at_call(int tid, Thread& thread);
  void begins_call(int tid, Thread& thread);
  void begins_call(int tid, Thread& thread, int index);
  void returns_from_call(int tid, Thread& thread);
  void executed(int tid);
  void exits(int tid, Thread& thread);
  void end(TracedProcess& process, int tid, int status);
  void resume(int tid, const Thread& thread, int signal = 0) const;

  void child_made(TracedProcess& process, const Caller& caller);

  long options() const;
  bool seize_threads(TracedProcess& process, Attached& out);
  std::map<int, int> wait_for_stops(const TracedProcess& process) const;
  bool take_stop(int tid, bool waits);
  void take_all_stops();
  std::vector<int> hold_threads();
  bool any_call_runs() const;
  void take_last_facts();

  CallRecorder recorder_;
  std::map<int, Thread> threads_;
  bool is_attached_ = false;
  bool is_ending_ = false;    ///< attached to: no call is to be seen any more
  std::set<int> let_go_;      ///< attached to: processes that the kernel traces as well, and that are not to be
  std::set<int> orphans_;     ///< whose start will not be told of, as the thread that started them is ending
  std::map<int, int> early_;  ///< stopped before their parents' stop told of them: their statuses
};

}  // namespace unfreed::trace
