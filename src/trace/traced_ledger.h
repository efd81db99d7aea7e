// The ledger of one traced program: a file beside those that tracked processes make themselves, in the same form. It is
// always left to the launcher.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "arch/traced_registers.h"
#include "ledger/composer.h"
#include "ledger/file_names.h"
#include "settings/settings.h"
#include "trace/code_space.h"
#include "trace/ledger_stacks.h"
#include "trace/library_file.h"
#include "trace/process_files.h"
#include "trace/thread_memory.h"

namespace unfreed::trace {

/// What all ledgers of a run have in common. Outlives them.
struct LedgerSetup {
  int folder = -1;  ///< open; where ledgers are made
  uint64_t pid_namespace = 0;
  std::string run;
  int launcher_pid = 0;
  int command_pid = 0;  ///< the first process of the run; set when it is known
  const report::Settings* settings = nullptr;
  bool has_runtime = false;    ///< programs load it, too, and have ledgers of what no system call shows
  bool is_attachment = false;  ///< the run began with a process that ran already
  bool is_observed = false;    ///< by the kernel, not by stopping it
  bool is_attached = false;    ///< the next one is of that process; take_held_before() will be called
};

/// A thread at a system call.
struct Caller {
  uint16_t hook;  ///< index of the call's row
  const arch::TracedRegisters& registers;
  ThreadMemory memory;
  uint64_t now_ns;  ///< CLOCK_MONOTONIC

  int tid() const { return memory.tid(); }
};

class TracedLedger {
 public:
  /// For process `pid`, which has just executed its program (`is_forked` false), or been forked some time ago. What it
  /// has open then is inherited. nullptr: there is no room; `error` says why.
  static std::unique_ptr<TracedLedger> make(const LedgerSetup& setup, int pid, CodeSpace& code, bool is_forked,
                                            const ProcessBeginning& begun, std::string& error);
  /// Of a fork child that the runtime came along into, where it records nothing until there is something to record.
  void take_library_coverage(const LibraryFile::Coverages& coverages) const;
  /// The runtime in it has begun to record something: without that, nothing is known of what it alone sees.
  void expect_library_part() const;
  ~TracedLedger();
  TracedLedger(const TracedLedger&) = delete;
  TracedLedger& operator=(const TracedLedger&) = delete;

  const ledger::Writer& writer() const { return writer_; }

  ledger::FdRecord* acquired(int fd, const Caller& caller, ledger::FdOrigin origin = ledger::FdOrigin::acquired);
  void set_path(ledger::FdRecord& record, std::string_view path) const;
  void set_peer(ledger::FdRecord& record, std::string_view address) const;
  /// As the other descriptor's.
  void set_same(ledger::FdRecord& record, int other) const;
  bool is_open(int fd) const;
  ledger::FdRecord* record_of(int fd) const;
  void closed(int fd, const Caller& caller);
  /// A close of what is not open has failed.
  void bad_close(int fd, const Caller& caller);
  /// A call failed as a limit was reached.
  void failed(ledger::Kind kind, int error, const Caller& caller);

  void thread_started(int tid, const Caller& caller);
  void thread_ended(int tid);
  void child_started(int pid, const Caller& caller);
  void child_reaped(int pid);
  /// Another program got a descriptor of this one's.
  void exec_leaked(int fd, uint64_t word, int pid, std::string_view program);

  /// Of a process that was attached to, whose threads are stopped: what it has open now, and its children, are
  /// inherited. How many descriptors there are.
  int take_held_before(int pid);
  /// Enters the kernel's lists, and goroutines, as they are now.
  void take_facts(int tid);
  /// The last thread of the process is about to end: compares with the kernel's lists, of that thread.
  void end(int tid, int status);
  /// It has ended some time ago, at `now_ns`, with these descriptors open; nullptr: with which is not known.
  void end(const std::vector<int>* open, const std::function<bool(int child)>& ran, int status, uint64_t now_ns);
  /// Some calls of the process were not seen.
  void lose_calls();
  /// Of facts that were taken at `since_ns`, while it ran on: drops what calls that were seen later have closed.
  void recheck_facts(int tid, uint64_t since_ns);
  /// It has gone over to another program: no report is made.
  void replaced();
  /// It has ended; nobody will write any more.
  void finish();

 private:
  void child_of_number_reaped();
  TracedLedger(const LedgerSetup& setup, CodeSpace& code) : setup_(setup), code_(code) {}
  bool make_file(int pid, std::string& error);
  void describe_process(int pid, bool is_forked, const ProcessIdentity& identity) const;
  void describe_coverage() const;
  int take_inherited(const ProcessBeginning& begun);
  uint32_t node_of(const Caller& caller, bool& truncated);
  uint32_t site_of(ledger::Kind kind, const Caller& caller);
  ledger::StringRef opened_as(int fd, std::unordered_map<std::string, ledger::StringRef>& known) const;
  template <class Record, class Set>
  void enter(ledger::SectionId id, const std::vector<int>& numbers, ledger::Dropped full, Set set) const;
  void go_on(int fd, uint32_t site);
  void count_close(uint64_t word, uint32_t site);
  void note_misuse(const ledger::Misuse& seen);
  void set_target(ledger::FdRecord& record, ledger::FdTargetForm form, std::string_view value) const;

  const LedgerSetup& setup_;
  CodeSpace& code_;
  ledger::FileName name_;
  size_t bytes_ = 0;
  std::unique_ptr<std::atomic<uint8_t>[]> populated_;  ///< a byte for each page
  ledger::Extents extents_;
  std::string folder_path_;
  ledger::Room room_;
  ledger::Writer writer_;
  std::unique_ptr<ledger::Composer> composer_;
  std::unique_ptr<LedgerStacks> stacks_;
  std::unordered_map<uint64_t, ledger::CloseCount*> closes_;  ///< by the sites of opening and closing
  std::vector<ledger::ThreadRecord*> threads_;
  std::vector<ledger::ChildRecord*> children_;

  /// The latest closes of one thread at one place: one that meets many numbers that are not open is a sweep.
  struct Run {
    uint32_t site = 0;
    int fd = 0;
    int step = 0;
    uint32_t unknown = 0;
    bool is_sweep = false;
    std::vector<uint64_t> noted;  ///< indexes of misuses
  } run_;
};

}  // namespace unfreed::trace
