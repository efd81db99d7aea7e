// The library's life inside a process, from the constructor to the last report.
//
//   loaded ─▶ started ─▶ (fork: adopted by the child) ─▶ ended ─▶ reported
//
// State is in one place, RuntimeState; each step is a function of its own file.
#pragma once

#include <atomic>
#include <cstdint>

#include "hook/process.h"
#include "ledger/writer.h"
#include "report/evaluate.h"
#include "runtime/ledger_file.h"

namespace unfreed::runtime {

struct RuntimeState {
  LedgerPlace place;
  char ledger_path[384];
  char helper_path[1024];   ///< the unfreed command, or ""
  char library_path[1024];  ///< this library's own file
  char working_directory[4096];  ///< at the start; "" where it cannot be named
  int launcher_pid;         ///< 0 without a launcher
  bool wants_all_reports;   ///< the launcher's --all-reports: also fork children that acquired nothing make one
  int pid;                  ///< of the process the ledger belongs to
  const char* why_private;  ///< static text, or nullptr
  uint64_t stderr_device;   ///< what descriptor 2 was at the start
  uint64_t stderr_inode;
  std::atomic<uint32_t> ended;  ///< 1 once the final report is under way
  int quick_exit_status;
  bool is_first_sandbox;  ///< of the seccomp call under way, if any: should it fail, all is as before
};
extern RuntimeState g_runtime;

/// In a fork child: gives the tracker a ledger of its own and empties the tables. (A track::ForkHandler.)
void take_over_fork_child();

/// The end of the process image: the last report, in this process or left to the launcher. `status` is the exit status,
/// or −signal. Returns the status to end with; `replaced` tells that it is not the program's own. Runs once.
int finish(int status, bool& replaced);

/// What a report made by this process came to.
struct Outcome {
  bool written = false;
  bool broken = false;     ///< a rule is broken
  bool unchecked = false;  ///< a rule could not be checked
  bool forbidden = false;  ///< not written, as the process may not open files (a sandbox that it was started in)
};

/// Makes a report of the process as it is now and waits for it. `path`: the report's file, nullptr for
/// UNFREED_OUTPUT's.
Outcome report_and_wait(report::Trigger trigger, const char* path);

/// A fork child has none of its parent's reports under way.
void reset_reports_after_fork();

/// Starts a report and returns at once. Async-signal-safe. False: one was under way.
bool report_in_background(report::Trigger trigger);

/// Takes the report signal, if the program has left it at its default.
void take_report_signal(int signal);

/// System calls are about to be restricted (seccomp), or, `failed`, were not: the runtime makes none in the meantime.
/// (A hook::ProcessEvents function.)
void sandboxing(hook::Sandbox sandbox, bool failed);

/// Writes one line to stderr, as it may be shown (base/printable.h), if that is still what it was at the start.
/// Async-signal-safe.
void say(std::string_view line);

/// Does the launcher that started this process still take ledgers? It does not while it ends.
bool launcher_is_there();

}  // namespace unfreed::runtime
