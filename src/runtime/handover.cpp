// What becomes of the ledger at the end of its process: the launcher takes it, or it is removed once its report is
// made.
#include <fcntl.h>

#include <atomic>

#include "base/syscall.h"
#include "base/text.h"
#include "ledger/wait_status.h"
#include "runtime/runtime.h"
#include "track/tracker.h"

namespace unfreed::runtime {

using ledger::Handover;
using track::g_tracker;

bool launcher_is_there() {
  if (!g_runtime.launcher_pid) return false;
  // A launcher that was killed has not noted here that it is gone.
  return !g_tracker.writer.header().launcher_gone.load(std::memory_order_acquire) &&
         is_launcher_alive(g_runtime.place, g_runtime.launcher_pid);
}

bool leave_to_launcher() {
  if (!g_runtime.ledger_path[0] || !launcher_is_there()) return false;
  ledger::Header& header = g_tracker.writer.header();
  auto say = [&header](Handover handover) {
    header.handover.store(static_cast<uint32_t>(handover), std::memory_order_seq_cst);
  };
  say(Handover::deciding);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  bool is_gone = header.launcher_gone.load(std::memory_order_seq_cst) != 0;
  say(is_gone ? Handover::itself : Handover::left);
  if (!is_gone) rename_to_done(g_runtime.ledger_path);
  return !is_gone;
}

namespace {
/// Where the launcher's processes keep their ledgers, with a '/' at its end; false: there is none, or no way to it.
bool find_run(base::TextBuilder& out) {
  if (!g_runtime.launcher_pid || !g_runtime.place.run[0] || !g_tracker.writer || !base::may_call_system()) return false;
  out.add(g_runtime.place.directory).add('/').add(g_runtime.place.run).add('/');
  return true;
}
}  // namespace

void child_collected(int pid, int wait_status) {
  base::FixedText<sizeof g_runtime.ledger_path> run;
  if (!find_run(run)) return;
  ledger::FileName name{pid, g_tracker.writer.header().pid_namespace, 0, false};
  ledger::note_wait_status(AT_FDCWD, run.text(), name, base::current_pid(), wait_status);
}

void command_collected(uint64_t since_boottime_ns, int wait_status) {
  base::FixedText<sizeof g_runtime.ledger_path> run;
  if (!find_run(run)) return;
  uint64_t pid_namespace = g_tracker.writer.header().pid_namespace;
  ledger::note_wait_status_of_command(run.text(), pid_namespace, base::current_pid(), since_boottime_ns, wait_status);
}

void remove_own_ledger() {
  if (!g_runtime.ledger_path[0]) return;
  // If the file is out of reach, as the process has become another user's, the next process of its user may remove it.
  g_tracker.writer.header().is_reported.store(1, std::memory_order_release);
  remove_ledger_file(g_runtime.ledger_path);
}

}  // namespace unfreed::runtime
