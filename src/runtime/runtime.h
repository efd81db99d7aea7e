// The library's life cycle in a process, from the constructor to the last report.
//
//   loaded ─▶ started ─▶ (fork: adopted by the child) ─▶ ended ─▶ reported
//
// State is in one place, RuntimeState; each step is a function of its own file.
#pragma once

#include <atomic>
#include <cstdint>

#include "evaluate/evaluate.h"
#include "hook/process.h"
#include "ledger/writer.h"
#include "runtime/ledger_place.h"

namespace unfreed::runtime {

struct RuntimeState {
  LedgerPlace place;
  char ledger_path[384];
  FileIdentity ledger_identity;
  char helper_path[1024];        ///< the unfreed command as the environment names it, or ""
  char library_path[1024];       ///< this library's own file
  char working_directory[4096];  ///< at the start; "" if it has no name
  int launcher_pid;              ///< 0 without a launcher
  bool wants_all_reports;        ///< the launcher's --all-reports: also fork children that acquired nothing make one
  bool is_traced_alone;          ///< a tracer follows what the program starts, which is not to load the library
  int pid;                       ///< of the process the ledger belongs to
  const char* why_private;       ///< static text, or nullptr
  bool is_descendant;            ///< a tracked process has started this one, or it was attached to while it ran
  bool is_attached;              ///< the library was loaded while the process ran
  uint32_t limit_reports;        ///< made so far because a limit or a number was reached: each has a name of its own
  uint64_t stderr_device;        ///< what descriptor 2 was at the start
  uint64_t stderr_inode;
  std::atomic<uint32_t> ended;  ///< 1 once the last report is under way
  int quick_exit_status;
  bool is_unchecked;      ///< there are rules, but nothing is tracked, nor is there a launcher to say so
  bool restricts_itself;  ///< the program's own code restricts its system calls (seccomp) past every hook
  bool is_first_sandbox;  ///< is the current seccomp call the first? If it fails, system calls are allowed again
};
extern RuntimeState g_runtime;

/// The library's start: its constructor. Does nothing a second time.
void construct(int argc, char** argv, char** environment);

/// The start of a library that was loaded while the process ran, but for the tracking: nullptr, or why nothing can be
/// tracked. `environment`: the settings, in place of the process's.
const char* start_attached(int argc, char** argv, char** environment);
/// Enters what the process has before tracking begins. No thread may open descriptors or start children meanwhile.
void take_inherited();
/// Descriptors that other programs may inherit.
void allow_inheritable(const report::Settings& settings);
/// Coverage of the kinds that are tracked.
void describe_coverage(const report::Settings& settings);
/// The settings that reports and later evaluations use, as the ledger has them.
ledger::StringRef add_settings(const ledger::Writer& writer);

/// Puts a new ledger in place of the one that there is, with nothing counted, for a process that is attached to again.
/// No thread is in a verb, and none runs. False: there is no memory for it.
bool begin_again();

/// In a fork child: gives the tracker a ledger of its own and empties the tables. (A track::ForkHandler.)
void take_over_fork_child();

/// The end of the process image: makes the last report, or leaves it to the launcher. `status` is the exit status,
/// or −signal. Returns the status to end with; `replaced`: it is not the program's own. The report is made
/// once; whoever else ends the process meanwhile (a signal handler, another thread) waits for it, with a limit.
int finish(int status, bool& replaced);

/// Makes a report of the process as it is now, to `path` (nullptr: where UNFREED_OUTPUT says), and waits for it: for
/// ten seconds at the most. While another report is being made it waits for that as long as `patience_ms`. False: there
/// is none. Async-signal-safe.
/// `threshold`: what was reached, where that is why.
bool report_now(report::Trigger trigger, const char* path, int patience_ms, const report::Threshold& threshold = {});

/// Finds out what the process can still get at, and enters it in the ledger, for a process that reads it. Waits for a
/// report that is being made for as long as `patience_ms`. False: it was in vain, or nothing is tracked.
/// Async-signal-safe. `since_epoch`: of the heap; Header::lost_since is then about blocks born since.
/// `read`: called before another report or grading may replace what was found.
bool grade_now(int patience_ms, uint32_t since_epoch, void (*read)(void*), void* context);

/// The same, for a command that has asked for it: this thread goes on while a copy of the process finds it out. When
/// that has entered it in the ledger, the command asks for it to be collected. Async-signal-safe.
void grade_on_request();
void collect_on_request();

/// A fork child has none of its parent's reports under way.
void reset_reports_after_fork();

/// Installs the handler of the report signal, if the program has left it at its default.
void take_report_signal(int signal);

/// Notices restrictions that the hooks do not see, too. At the end of the start.
void watch_for_sandbox();

/// System calls are about to be restricted (seccomp), or, `failed`, were not: the runtime makes none in between.
/// (A hook::ProcessEvents function.)
void sandboxing(hook::Sandbox sandbox, bool failed);
/// In the launcher's run: notes how a child ended that has left its ledger. Thread-safe, async-signal-safe.
void child_collected(int pid, int wait_status);
/// The same of what system() has started and waited for, after `since_boottime_ns` (CLOCK_BOOTTIME).
void command_collected(uint64_t since_boottime_ns, int wait_status);

/// Does the launcher that started this process still accept ledgers? Not while it ends.
bool launcher_is_there();

/// Leaves the ledger, whose process has ended, to the launcher. False if no launcher would accept it: the process
/// reports separately.
bool leave_to_launcher();

/// Removes the ledger's file: its last report has been made.
void remove_own_ledger();

}  // namespace unfreed::runtime
