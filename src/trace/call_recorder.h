// What watched processes have done, as their ledgers are to have it: which process has which ledger, and what each
// system call changes in it. A call that makes a descriptor is told of when it returns, one that ends one when it
// begins: whoever gets the number next is then seen to get it later.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "elf/obstacle.h"
#include "trace/calls.h"
#include "trace/code_space.h"
#include "trace/process_files.h"
#include "trace/traced_ledger.h"

namespace unfreed::trace {

struct TraceSetup {
  LedgerSetup ledgers;
  bool traces_all = false;         ///< also programs that could load the runtime
  std::string board;               ///< the run's list of untracked programs; "" none
  bool wants_all_reports = false;  ///< a ledger for each process, also for one that acquires nothing
  bool follows_children = true;    ///< of a process that is attached to; all others are followed
  /// Observed: other processes that are attached to. Called until it names no new one: they may start others meanwhile.
  std::function<std::vector<int>()> list_others;
};

/// What attach() found.
struct Attached {
  int error = 0;        ///< an errno: nothing has been changed
  std::string problem;  ///< "": the error says all
  int processes = 0;
  int threads = 0;      ///< that are traced
  int descriptors = 0;  ///< open already
};

/// What a forked child has of its parent's descriptors.
struct ParentFd {
  int parent;
  uint64_t ledger;  ///< number of the parent's
  uint64_t word;    ///< of the parent's record
};

struct TracedProcess {
  int pid = 0;
  bool is_tracked = false;  ///< by us: not before its program, nor where the runtime is loaded
  bool is_forked = false;
  bool is_runtimes = false;       ///< the runtime in a traced process has started it, for itself
  bool has_library_part = false;  ///< the runtime in it has begun a ledger, or tried to
  bool has_ended = false;         ///< what it held at its end is written down
  bool is_attached = false;       ///< observed: it ran before; its ledger is made when it first has something to say
  bool is_ending = false;         ///< observed: the threads that end now do so with it
  bool has_losses = false;        ///< observed: some of its calls were missed
  int files_of = 0;               ///< the process whose descriptors these are, too (CLONE_FILES); 0: none
  uint64_t ledger_number = 0;
  std::optional<LibraryFile::Coverages> library_coverage;  ///< of a fork child: that of the runtime in its parent
  std::shared_ptr<CodeSpace> code;
  std::unique_ptr<TracedLedger> ledger;
  std::set<int> threads;
  std::map<int, ParentFd> parents_fds;
  std::optional<ProcessBeginning> begun;  ///< none: /proc says it
  ProcessIdentity identity;               ///< observed
  std::shared_ptr<MappedFiles> mapped;    ///< observed, since its program began
};

class CallRecorder {
 public:
  explicit CallRecorder(TraceSetup setup) : setup_(std::move(setup)) {}
  CallRecorder(const CallRecorder&) = delete;
  CallRecorder& operator=(const CallRecorder&) = delete;

  TraceSetup& setup() { return setup_; }
  const TraceSetup& setup() const { return setup_; }
  const std::map<int, std::unique_ptr<TracedProcess>>& processes() const { return processes_; }
  TracedProcess* find(int pid);
  TracedProcess& add(int pid);  ///< instead of one that had the number before
  void remove(int pid) { processes_.erase(pid); }
  /// A process has ended with this status, of waitpid. If the library was in it, and did not see that, it is noted.
  void note_end(int pid, int wait_status) const;

  /// Of a process that is tracked: made when it first has something to say. nullptr: it has none.
  TracedLedger* ledger_of(TracedProcess& process);
  LibraryFile library_file(int pid) const {
    return LibraryFile(setup_.ledgers.folder, pid, setup_.ledgers.pid_namespace);
  }
  void keep_library_coverage(const TracedProcess& parent, TracedProcess& child) const;
  void keep_parents_fds(const TracedProcess& parent, TracedProcess& child) const;
  /// It executes another program, which has these descriptors.
  void note_exec_leaks(TracedProcess& process, const std::string& program, const std::vector<int>& open);
  bool is_tracked_here(int pid, const ProcessIdentity& identity);
  /// Is it a call of the runtime's in the process, not of the program's? `tid`: the thread, which is stopped.
  bool is_runtimes(TracedProcess& process, int tid, const arch::TracedRegisters& registers);
  /// Such a call. It begins the runtime's ledger when it opens a file of that name.
  void note_runtimes_call(TracedProcess& process, const Caller& caller);
  /// A process is about to end: its ledger, also if only the runtime in it has something to say.
  TracedLedger* last_ledger_of(TracedProcess& process);

  /// A close. False: nothing that is known to be open, so the result matters.
  bool close_begins(TracedProcess& process, const Caller& caller);
  void close_range_begins(TracedProcess& process, const Caller& caller);
  /// Any other call, or such a close. `knows_end`: a child that was waited for was seen to end before, if it is
  /// watched.
  void call_returned(TracedProcess& process, const Caller& caller, bool is_attached);

 private:
  TracedLedger* files_ledger_of(TracedProcess& process);
  bool note_untracked(int pid, elf::Obstacle obstacle, const std::string& program);
  void count_untracked(int pid);
  void forget_inherited(TracedProcess& process, int fd) const;
  void fd_made(TracedProcess& process, const Caller& caller, const Call& call);
  void pair_made(TracedProcess& process, const Caller& caller, const Call& call);
  void message_received(TracedProcess& process, const Caller& caller, uintptr_t header);
  void child_reaped(TracedProcess& process, const Caller& caller, const Call& call, bool is_attached);

  TraceSetup setup_;
  ledger::UntrackedBoard* board_ = nullptr;  ///< mapped when it is first needed
  uint64_t next_ledger_ = 1;
  std::map<int, std::unique_ptr<TracedProcess>> processes_;
};

}  // namespace unfreed::trace
