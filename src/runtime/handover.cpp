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

void child_collected(int pid, int wait_status) {
  if (!g_runtime.launcher_pid || !g_runtime.place.run[0] || !g_tracker.writer || !base::may_call_system()) return;
  base::FixedText<sizeof g_runtime.ledger_path> prefix;
  prefix.add(g_runtime.place.directory).add('/').add(g_runtime.place.run).add('/');
  const ledger::Header& header = g_tracker.writer.header();
  ledger::FileName name{pid, header.pid_namespace, 0, false};
  ledger::note_wait_status(AT_FDCWD, prefix.text(), name, base::current_pid(), wait_status);
}

void remove_own_ledger() {
  if (!g_runtime.ledger_path[0]) return;
  // If the file is out of reach, as the process has become another user's, the next process of its user may remove it.
  g_tracker.writer.header().is_reported.store(1, std::memory_order_release);
  remove_ledger_file(g_runtime.ledger_path);
}

}  // namespace unfreed::runtime
