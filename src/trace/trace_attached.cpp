// A process that runs already: how its threads are stopped for the first time, and left alone at the end.
//
//     seize ──▶ interrupt ──▶ all stopped: what is open now is inherited ──▶ go on, stop at each call
//
//     asked to end ──▶ whoever begins or has ended a call is held ──▶ compare with the kernel's lists ──▶ end
//
// A stop is looked at without being taken from the kernel (WNOWAIT): the signal that a thread has stopped for is then
// delivered even if the tracer is killed before it has resumed the thread.
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/live_thread.h"
#include "base/syscall.h"
#include "trace/process_files.h"
#include "trace/trace_loop.h"

namespace unfreed::trace {

namespace {

constexpr int kNotYet = -1;

/// As waitpid() has it, of a thread that has stopped.
int stop_status(const siginfo_t& info) { return info.si_status << 8 | 0x7f; }
bool is_stop(const siginfo_t& info) { return info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED; }
bool is_call_stop(int status) { return status >> 8 == (SIGTRAP | 0x80); }

/// Of any thread (0), or of one. False: there is none.
bool look_for_stop(int tid, bool waits, siginfo_t& info) {
  info = {};
  int options = WSTOPPED | WEXITED | WNOWAIT | __WALL | (waits ? 0 : WNOHANG);
  return waitid(tid ? P_PID : P_ALL, static_cast<id_t>(tid), &info, options) == 0 && info.si_pid != 0;
}

void take_from_kernel(int tid) { waitpid(tid, nullptr, __WALL | WNOHANG); }

}  // namespace

/// And has them stop. False: one cannot be seized, for the reason in `out`.
bool TraceLoop::seize_threads(TracedProcess& process, Attached& out) {
  constexpr int kMostRefusals = 1000, kPauseMicroseconds = 100;
  int refusals = 0;
  for (bool any = true; any;) {
    any = false;
    for (int tid : ProcessFiles(process.pid).numbers("task")) {
      if (process.threads.contains(tid)) continue;
      int error = ptrace(PTRACE_SEIZE, tid, 0, options()) == 0 ? 0 : errno;
      // Those that a traced thread has started are traced already.
      if (error == EPERM && ProcessFiles(tid).tracer() == gettid()) error = 0;
      if (error == ESRCH || (error && ProcessFiles(tid).has_ended())) continue;
      // One that is just ending is refused, too.
      bool may_be_ending = error == EPERM && !process.threads.empty() && ++refusals < kMostRefusals;
      any = true;
      if (may_be_ending) {
        usleep(kPauseMicroseconds);
        continue;
      }
      if (error) {
        out.error = error;
        return false;
      }
      ptrace(PTRACE_INTERRUPT, tid, 0, 0);
      process.threads.insert(tid);
      threads_[tid] = {&process};
    }
  }
  if (process.threads.empty()) out.error = ESRCH;
  return out.error == 0;
}

/// What each has stopped for; kNotYet: it waits in the kernel so that nothing wakes it. Their stops are held.
std::map<int, int> TraceLoop::wait_for_stops(const TracedProcess& process) const {
  constexpr int kMostPauses = 2000, kPauseMicroseconds = 250;
  std::map<int, int> stops;
  for (int tid : process.threads) stops[tid] = kNotYet;
  for (int pauses = 0; pauses < kMostPauses; ++pauses) {
    bool all = true;
    for (auto& [tid, status] : stops) {
      siginfo_t info;
      if (status != kNotYet) continue;
      if (look_for_stop(tid, false, info) && is_stop(info))
        status = stop_status(info);
      else
        all = all && (info.si_pid != 0 || ProcessFiles(tid).has_ended());
    }
    if (all) break;
    usleep(kPauseMicroseconds);
  }
  return stops;
}

Attached TraceLoop::attach(int pid) {
  Attached out;
  is_attached_ = true;
  recorder_.setup().ledgers.command_pid = pid;
  TracedProcess& process = recorder_.add(pid);
  process.threads.clear();
  process.is_tracked = true;
  process.begun = ProcessBeginning{identify(pid), {}, {}};
  // What takes long is done before anything is traced.
  int live = base::live_thread(pid);
  process.code = std::make_shared<CodeSpace>(live);
  recorder_.setup().ledgers.is_attachment = recorder_.setup().ledgers.is_attached = true;
  TracedLedger* ledger = recorder_.ledger_of(process);
  recorder_.setup().ledgers.is_attached = false;
  if (!ledger) {
    out.error = ENOSPC;
    return out;
  }
  bool is_seized = seize_threads(process, out);
  // What starts while they are being stopped is found by then.
  std::map<int, int> stops;
  for (size_t known = 0; is_seized && known != process.threads.size();) {
    known = process.threads.size();
    stops = wait_for_stops(process);
    is_seized = seize_threads(process, out);
  }
  if (!is_seized) {
    ledger->replaced();
    return out;
  }
  out.threads = static_cast<int>(process.threads.size());
  out.descriptors = ledger->take_held_before(live);
  for (auto& [tid, status] : stops)
    if (status != kNotYet && threads_.contains(tid)) stopped(tid, status);
  return out;
}

/// One stop or end, of any thread (0) or of one. False: there is none.
bool TraceLoop::take_stop(int tid, bool waits) {
  siginfo_t info;
  if (!look_for_stop(tid, waits, info)) return false;
  tid = info.si_pid;
  if (!is_stop(info)) {
    take_from_kernel(tid);
    gone(tid, 0);
    return true;
  }
  // One that is not known yet stays stopped until it is: it must not be found again and again.
  if (!threads_.contains(tid)) take_from_kernel(tid);
  stopped(tid, stop_status(info));
  return true;
}

/// The kernel has them in one order, which busy threads could keep others from their turn with.
void TraceLoop::take_all_stops() {
  std::vector<int> tids;
  for (const auto& [tid, thread] : threads_) tids.push_back(tid);
  for (int tid : tids) take_stop(tid, false);
}

void TraceLoop::run_attached(const std::atomic<bool>& is_asked, int has_ended) {
  constexpr unsigned kStopsPerTurn = 256;
  bool is_over = false;
  for (unsigned stops = 1; !is_asked && !is_over; ++stops) {
    if (stops % kStopsPerTurn == 0) take_all_stops();
    is_over = !take_stop(0, true) && errno == ECHILD;
  }
  if (!is_over) {
    std::vector<int> held = hold_threads();
    take_last_facts();
    // What is stopped when its tracer ends is woken as by a signal: a wait that it is about to begin fails with EINTR.
    is_ending_ = true;
    for (int tid : held)
      if (auto thread = threads_.find(tid); thread != threads_.end()) resume(tid, thread->second);
  }
  eventfd_write(has_ended, 1);
  take_all_stops();
}

/// Is a thread in the middle of a call that makes a descriptor? Not one that waits there.
bool TraceLoop::any_call_runs() const {
  return std::any_of(threads_.begin(), threads_.end(),
                     [](const auto& one) { return one.second.call >= 0 && !ProcessFiles(one.first).is_waiting(); });
}

/// Whoever begins a call, or has ended one, stays where it is, so that the tables and the kernel's lists agree.
std::vector<int> TraceLoop::hold_threads() {
  std::vector<int> held;
  constexpr int kMostPauses = 100, kPauseMicroseconds = 100;
  for (int pauses = 0; pauses < kMostPauses;) {
    siginfo_t info;
    if (!look_for_stop(0, false, info)) {
      if (!any_call_runs()) break;
      ++pauses;
      usleep(kPauseMicroseconds);
      continue;
    }
    auto found = threads_.find(info.si_pid);
    bool is_held = found != threads_.end() && is_stop(info) && is_call_stop(stop_status(info));
    if (!is_held) {
      take_stop(info.si_pid, false);
      continue;
    }
    take_from_kernel(info.si_pid);
    Thread& thread = found->second;
    held.push_back(info.si_pid);
    if (thread.is_in_call) seen_at_call(info.si_pid, thread);
  }
  return held;
}

void TraceLoop::take_last_facts() {
  for (auto& [pid, process] : recorder_.processes()) {
    if (!process->ledger || process->has_ended || process->threads.empty()) continue;
    process->ledger->take_facts(*process->threads.begin());
  }
}

}  // namespace unfreed::trace
