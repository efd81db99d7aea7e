// The end of the process image: records what it holds, and makes its last report or leaves it to the launcher.
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>

#include "base/lock.h"
#include "base/own_memory.h"
#include "base/syscall.h"
#include "base/text.h"
#include "kernel/kernel_facts.h"
#include "kernel/kernel_tasks.h"
#include "report/answer.h"
#include "runtime/child_process.h"
#include "runtime/grading.h"
#include "runtime/libc_caches.h"
#include "runtime/messages.h"
#include "runtime/own_settings.h"
#include "runtime/report_now.h"
#include "runtime/report_turn.h"
#include "runtime/runtime.h"
#include "runtime/unreported.h"
#include "settings/settings.h"
#include "track/rings.h"
#include "track/thread_stacks.h"
#include "track/threads.h"
#include "track/tracker.h"

namespace unfreed::runtime {

using base::is_error;
using base::raw_syscall;
using track::g_tracker;

namespace {

/// For a report that another thread makes, which has a limit of its own.
constexpr int kPatienceMs = 12'000;
/// For readers of stderr.
constexpr int kLinesPatienceMs = 1000;

/// While it exists, a process that has used up its descriptors may open a few more, if its hard limit allows: the
/// kernel's lists are read at the end, when none of the program's code runs that could notice.
class SpareDescriptors {
 public:
  SpareDescriptors() {
    constexpr rlim_t kSpare = 8;
    if (is_error(raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, reinterpret_cast<long>(&before_)))) return;
    rlimit more = before_;
    more.rlim_cur += std::min<rlim_t>(kSpare, before_.rlim_max - before_.rlim_cur);
    raised_ = !is_error(raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, reinterpret_cast<long>(&more), 0));
  }
  ~SpareDescriptors() {
    if (raised_) raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, reinterpret_cast<long>(&before_), 0);
  }
  SpareDescriptors(const SpareDescriptors&) = delete;
  SpareDescriptors& operator=(const SpareDescriptors&) = delete;

 private:
  rlimit before_{};
  bool raised_ = false;
};

/// The outcome of the last report.
enum class End : uint32_t {
  pending,
  passed,     ///< no rule is broken; or the launcher says
  broken,     ///< a rule is
  unchecked,  ///< a rule could not be checked
};
std::atomic<End> g_end{End::pending};

/// `answer`: of make_last_report(). A ledger whose report could not be written is kept where a line says so.
End conclude(int status) {
  bool has_rules = g_settings.has_rules();
  report::Answer answer;
  bool is_known = report::from_status(status, answer);
  if (!is_known) {
    base::FixedText<600> line;
    line.add("unfreed: the report could not be made");
    if (g_runtime.ledger_path[0]) line.add("; its ledger is kept: ").add(g_runtime.ledger_path);
    say(line.text(), has_rules ? Line::verdict : Line::news);
  }
  bool is_said = has_rules || !g_runtime.is_descendant;
  if (answer.written || !is_said) remove_own_ledger();
  if (!has_rules) return End::passed;
  if (!is_known) return End::unchecked;
  return answer.verdict == report::Verdict::broken      ? End::broken
         : answer.verdict == report::Verdict::unchecked ? End::unchecked
                                                        : End::passed;
}

/// A process that restricts its system calls leaves its ledger where it is, and the launcher finds it by itself.
/// Without one, rules remain unchecked.
End end_in_sandbox() { return !g_runtime.launcher_pid && g_settings.has_rules() ? End::unchecked : End::passed; }

/// The report is that of the tracer's ledger. Without a launcher nobody makes one.
End end_traced() {
  if (!g_runtime.ledger_identity.is_launchers || !launcher_is_there()) remove_own_ledger();
  return End::passed;
}

/// Takes the turn for the last report. If this thread was already making a report and was interrupted by the signal
/// handler that ends the process, that report's code will not resume, but the copy it started is waited for.
void take_last_turn() {
  ReportTurn turn(kPatienceMs, LeftCopy::is_killed);
  if (!turn && is_own_turn()) wait_for_last_report();
  turn.take_over();
}

/// Making the report takes time, in which children may end that a process forks just before it ends, as daemons do:
/// they would not be there for it to wait for.
void note_no_child_ended() {
  if (!track::tracks(ledger::Kind::child)) return;
  siginfo_t about{};
  long result =
      base::raw_syscall(SYS_waitid, P_ALL, 0, reinterpret_cast<long>(&about), WEXITED | WNOHANG | WNOWAIT | __WALL);
  if (result == 0 && about.si_pid == 0)
    g_tracker.writer.header().flags.fetch_or(ledger::kHeaderFlagNoneEnded, std::memory_order_relaxed);
}

End end_process_image(int status) {
  take_last_turn();
  ledger::Header& header = g_tracker.writer.header();
  {
    base::SignalBlock block;
    base::count_sandboxes();
  }
  bool has_kernel = base::may_call_system();
  if (has_kernel) note_no_child_ended();
  SpareDescriptors spare;
  base::SpareRoom room;
  if (has_kernel) track::collect_from_rings();
  uintptr_t sp_to_grade_from = 0;
  {
    // Descriptors are opened here for a moment. A handler that ends the process in between would leave one behind,
    // which would be taken for the program's.
    base::SignalBlock block;
    bool is_alone = has_kernel && track::is_only_thread();
    base::AloneInProcess alone(is_alone);
    bool has_lists = false;
    bool is_unreported = is_alone && will_be_unreported(has_lists);
    if (!is_unreported) find_libc_caches();
    if (has_kernel && !is_unreported) describe_threads();
    g_tracker.phase.store(track::Phase::finished, std::memory_order_release);
    header.ended_monotonic_ns = base::monotonic_ns();
    header.exit_status = status;
    if (is_unreported) {
      refuse_grading("the process was to have no report");
    } else if (has_kernel) {
      if (!has_lists) {
        report::take_kernel_facts(g_tracker.writer, 0);
        report::take_kernel_tasks(g_tracker.writer, 0);
      }
      track::take_unlisted_thread_stacks(0);
      sp_to_grade_from = grade_at_end(unwind::caller_registers(), is_alone);
    }
    header.state.store(static_cast<uint32_t>(ledger::State::ended), std::memory_order_release);
  }
  if (!has_kernel) return end_in_sandbox();
  if (g_runtime.place.is_library_part) return end_traced();
  if (leave_to_launcher()) return End::passed;
  let_lines_wait(kLinesPatienceMs);
  return conclude(make_last_report(sp_to_grade_from));
}

/// The process is ended once more while its last report is being made: by another thread, which waits for it, or by a
/// signal handler of this one, whose code below the handler will not go on. Pending: there was nothing to wait for.
End wait_for_end() {
  if (g_end.load(std::memory_order_acquire) == End::pending && is_own_turn()) {
    int status = wait_for_last_report();
    return status < 0 ? End::pending : conclude(status);
  }
  for (int waited = 0; g_end.load(std::memory_order_acquire) == End::pending && waited < kPatienceMs; ++waited)
    sleep_ns(1'000'000);
  return g_end.load(std::memory_order_acquire);
}

/// Is there anything to report at the end? A fork child in which nothing was ever tracked has no ledger of its own.
bool has_end() {
  if (g_tracker.phase.load(std::memory_order_acquire) != track::Phase::tracking) return false;
  if (g_runtime.wants_all_reports) track::adopt_fork_if_needed();
  return g_tracker.phase.load(std::memory_order_acquire) == track::Phase::tracking &&
         track::g_fork_page.alive.load(std::memory_order_acquire);
}

/// A program's own failure status takes precedence.
int status_after(End end, int status, bool& replaced) {
  int ours = end == End::broken ? g_settings.exit_code : end == End::unchecked ? report::exit_status::failure : 0;
  replaced = status >= 0 && (status & 0xff) == 0 && ours != 0;
  return replaced ? ours : status;
}

}  // namespace

int finish(int status, bool& replaced) {
  replaced = g_runtime.is_unchecked && status == 0 && base::current_pid() == g_runtime.pid;
  if (replaced) return report::exit_status::failure;
  bool is_again = track::g_fork_page.alive.load(std::memory_order_acquire) && g_runtime.ended.load();
  if (!is_again && !has_end()) return status;
  is_again = is_again || g_runtime.ended.exchange(1);
  End end = is_again ? wait_for_end() : End::pending;
  if (end == End::pending) {
    if (is_again && !is_own_turn()) return status;  // the other thread has had its time
    end = end_process_image(status);
  }
  g_end.store(end, std::memory_order_release);
  return status_after(end, status, replaced);
}

}  // namespace unfreed::runtime
