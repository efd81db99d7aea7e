// What the tracer does with each stop. A call that makes a descriptor is looked at when it returns, one that ends one
// when it begins: whoever gets the number next is then seen to get it later.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "arch/traced_registers.h"
#include "elf/obstacle.h"
#include "trace/calls.h"
#include "trace/code_space.h"
#include "trace/interrupted_call.h"
#include "trace/traced_ledger.h"

namespace unfreed::trace {

struct TraceSetup {
  LedgerSetup ledgers;
  bool traces_all = false;         ///< also programs that could load the runtime
  std::string runtime_file;        ///< the runtime's file name: LD_PRELOAD names it where it will be loaded
  std::string board;               ///< the run's list of untracked programs; "" none
  bool wants_all_reports = false;  ///< a ledger for each process, also for one that acquires nothing
  bool follows_children = true;    ///< of a process that is attached to; all others are followed
};

/// What attach() found.
struct Attached {
  int error = 0;        ///< an errno: nothing has been changed
  int threads = 0;      ///< that are traced
  int descriptors = 0;  ///< open already
};

class TraceLoop {
 public:
  explicit TraceLoop(TraceSetup setup) : setup_(std::move(setup)) {}

  /// A process that is about to execute its program. 0 or an errno.
  int seize(int pid);
  /// Until no traced process is left.
  void run();

  /// A process that runs already: from now on all its threads stop at every system call, as no filter can be put on
  /// them. Those that wait go on to wait (trace/interrupted_call.h).
  Attached attach(int pid);
  /// Until no traced process is left, or it is asked to end, and its wait for a stop is interrupted. The ledgers are
  /// complete then; `has_ended` is an eventfd that says so. The caller, a thread, ends at once, and with that all that
  /// it traces go on as they are: nobody is stopped or woken for it. It may also be killed at any time: signals are
  /// left with the kernel until they are delivered.
  void run_attached(const std::atomic<bool>& is_asked, int has_ended);

 private:
  /// What a forked child has of its parent's descriptors.
  struct ParentFd {
    int parent;
    uint64_t ledger;  ///< number of the parent's
    uint64_t word;    ///< of the parent's record
  };
  struct Process {
    int pid = 0;
    bool is_tracked = false;  ///< by us: not before its program, nor where the runtime is loaded
    bool is_forked = false;
    bool has_ended = false;  ///< what it held at its end is written down
    int files_of = 0;        ///< the process whose descriptors these are, too (CLONE_FILES); 0: none
    uint64_t ledger_number = 0;
    std::shared_ptr<CodeSpace> code;
    std::unique_ptr<TracedLedger> ledger;
    std::set<int> threads;
    std::map<int, ParentFd> parents_fds;
  };
  struct Thread {
    Process* process = nullptr;
    int call = -1;            ///< whose return is waited for: index of its row
    bool is_in_call = false;  ///< attached to: its next stop at a call is the call's end
    WaitBegun wait = {};      ///< attached to: the call that it is in
  };

  void stopped(int tid, int status);
  void gone(int tid);
  void adopt(int tid, int event, long new_tid);
  void adopt_orphan(int tid);
  void find_orphans_of(int tid);
  void handle_early_stop(int tid);
  void seen_at_call(int tid, Thread& thread);
  void begins_call(int tid, Thread& thread);
  void begins_call(int tid, Thread& thread, int index);
  void returns_from_call(int tid, Thread& thread);
  void executed(int tid);
  void exits(int tid, Thread& thread);
  void end(Process& process, int tid, int status);
  void resume(int tid, const Thread& thread, int signal = 0) const;
  Process* find(int pid);
  bool is_tracked_here(int pid);
  bool note_untracked(int pid, elf::Obstacle obstacle);
  void count_untracked(int pid);
  TracedLedger* ledger_of(Process& process);
  TracedLedger* files_ledger_of(Process& process);
  void keep_parents_fds(const Process& parent, Process& child) const;
  void note_exec_leaks(Process& process, const std::string& program);

  bool close_begins(Process& process, const Caller& caller);
  void close_range_begins(Process& process, const Caller& caller);
  void fd_made(Process& process, const Caller& caller, const Call& call);
  void pair_made(Process& process, const Caller& caller, const Call& call);
  void message_received(Process& process, const Caller& caller, uintptr_t header);
  void child_reaped(Process& process, const Caller& caller, const Call& call);
  void child_made(Process& process, const Caller& caller);

  long options() const;
  bool seize_threads(Process& process, Attached& out);
  std::map<int, int> wait_for_stops(const Process& process) const;
  bool take_stop(int tid, bool waits);
  void take_all_stops();
  std::vector<int> hold_threads();
  bool any_call_runs() const;
  void take_last_facts();

  TraceSetup setup_;
  ledger::UntrackedBoard* board_ = nullptr;  ///< mapped when it is first needed
  uint64_t next_ledger_ = 1;
  std::map<int, std::unique_ptr<Process>> processes_;
  std::map<int, Thread> threads_;
  bool is_attached_ = false;
  bool is_ending_ = false;    ///< attached to: no call is to be seen any more
  std::set<int> let_go_;      ///< attached to: processes that the kernel traces as well, and that are not to be
  std::set<int> orphans_;     ///< whose start will not be told of, as the thread that started them is ending
  std::map<int, int> early_;  ///< stopped before their parents' stop told of them: their statuses
};

}  // namespace unfreed::trace
