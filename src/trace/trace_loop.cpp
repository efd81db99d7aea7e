#include "trace/trace_loop.h"

#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>

#include "base/syscall.h"
#include "trace/pass_through.h"
#include "trace/process_files.h"
#include "trace/stopped_thread.h"
#include "trace/thread_memory.h"

namespace unfreed::trace {

namespace {

bool shares_descriptors(int tid, const arch::TracedRegisters& registers) {
  uint64_t flags = registers.argument(0);
  if (registers.call() == SYS_clone3 && !ThreadMemory(tid).read_value(registers.argument(0), flags)) return false;
  return (registers.call() == SYS_clone || registers.call() == SYS_clone3) && flags & CLONE_FILES;
}

}  // namespace

long TraceLoop::options() const {
  constexpr long kAlways = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT;
  constexpr long kChildren = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
  if (!is_attached_) return kAlways | kChildren | PTRACE_O_TRACESECCOMP;
  return kAlways | (recorder_.setup().follows_children ? kChildren : 0);
}

int TraceLoop::seize(int pid) {
  if (ptrace(PTRACE_SEIZE, pid, 0, options()) != 0) return errno;
  recorder_.setup().ledgers.command_pid = pid;
  threads_[pid] = {&recorder_.add(pid)};
  return 0;
}

void TraceLoop::run() {
  for (;;) {
    int status = 0;
    int tid = waitpid(-1, &status, __WALL);
    if (tid < 0 && errno == ECHILD) return;
    if (tid < 0) continue;
    if (WIFSTOPPED(status)) {
      hold(tid, status);
      stopped(tid, status);
      if (!early_.contains(tid)) let_go(tid);
    } else {
      gone(tid, status);
    }
  }
}

/// Fails if it has been killed meanwhile, which waitpid() then says.
void TraceLoop::resume(int tid, const Thread& thread, int signal) const {
  bool sees_call = is_attached_ ? !is_ending_ : thread.call >= 0;
  ptrace(sees_call ? PTRACE_SYSCALL : PTRACE_CONT, tid, 0, signal);
}

void TraceLoop::stopped(int tid, int status) {
  if (let_go_.erase(tid)) {
    ptrace(PTRACE_DETACH, tid, 0, 0);
    return;
  }
  auto found = threads_.find(tid);
  if (found == threads_.end()) {
    early_[tid] = status;
    ProcessFiles files(tid);
    bool is_killed = status >> 16 == PTRACE_EVENT_EXIT;
    bool is_nobodys = files.process() == tid && !recorder_.find(files.parent());
    if (is_killed || is_nobodys || orphans_.contains(tid)) adopt_orphan(tid);
    return;
  }
  Thread& thread = found->second;
  int signal = WSTOPSIG(status);
  switch (status >> 16) {
    case PTRACE_EVENT_SECCOMP:
      begins_call(tid, thread);
      break;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
      adopt(tid, status >> 16, event_message(tid));
      break;
    case PTRACE_EVENT_EXEC:
      executed(tid);
      found = threads_.find(tid);  // its number may be another thread's now
      return resume(tid, found == threads_.end() ? Thread() : found->second);
    case PTRACE_EVENT_EXIT:
      exits(tid, thread);
      break;
    case PTRACE_EVENT_STOP:
    case 0:
      if (status >> 16 == 0 && signal == (SIGTRAP | 0x80)) {
        if (is_attached_)
          seen_at_call(tid, thread);
        else
          returns_from_call(tid, thread);
        break;
      }
      if (is_attached_) go_on_waiting(tid, thread.wait);
      if (status >> 16 == 0) return resume(tid, thread, signal);
      if (signal != SIGTRAP) {
        ptrace(PTRACE_LISTEN, tid, 0, 0);
        return;
      }
      break;
    default:
      break;
  }
  resume(tid, thread);
}

// ---- threads and processes ----

/// The runtime copies its process to make a report, and starts a command for it, without a signal at their ends; a
/// program's vfork is in it, too.
bool TraceLoop::is_runtimes_child(TracedProcess& parent, int tid, const arch::TracedRegisters& registers) {
  bool is_silent = registers.call() == SYS_clone && (registers.argument(0) & 0xff) == 0;
  return is_silent && recorder_.is_runtimes(parent, tid, registers);
}

void TraceLoop::adopt(int tid, int event, long new_tid) {
  if (new_tid <= 0) return;
  TracedProcess& parent = *threads_[tid].process;
  int child_tid = static_cast<int>(new_tid);
  arch::TracedRegisters registers;
  bool has_registers = read_registers(tid, registers);
  int call = has_registers ? find_call(registers.call()) : -1;
  Caller caller{static_cast<uint16_t>(std::max(call, 0)), registers, ThreadMemory(tid), base::monotonic_ns()};
  bool is_thread = event == PTRACE_EVENT_CLONE && ProcessFiles(child_tid).process() == parent.pid;
  bool is_runtimes = parent.is_runtimes || (has_registers && is_runtimes_child(parent, tid, registers));
  TracedLedger* ledger = has_registers && !is_runtimes ? recorder_.ledger_of(parent) : nullptr;
  if (threads_.contains(child_tid)) {
    if (!is_thread && ledger) ledger->child_started(child_tid, caller);
  } else if (is_thread) {
    parent.threads.insert(child_tid);
    threads_[child_tid] = {&parent};
    if (ledger) ledger->thread_started(child_tid, caller);
  } else if (is_attached_ && !recorder_.setup().follows_children) {
    let_go_.insert(child_tid);  // the call's end says that it was started
  } else {
    TracedProcess& child = recorder_.add(child_tid);
    child.is_tracked = parent.is_tracked && !is_runtimes;
    child.is_runtimes = is_runtimes;
    child.is_forked = true;
    child.code = parent.code;
    recorder_.keep_library_coverage(parent, child);
    if (has_registers && shares_descriptors(tid, registers))
      child.files_of = parent.files_of ? parent.files_of : parent.pid;
    else
      recorder_.keep_parents_fds(parent, child);
    if (ledger) ledger->child_started(child_tid, caller);
    threads_[child_tid] = {&child};
    if (recorder_.setup().wants_all_reports) recorder_.ledger_of(child);
  }
  handle_early_stop(child_tid);
}

/// Its first stop was seen before it was known.
void TraceLoop::handle_early_stop(int tid) {
  auto early = early_.find(tid);
  if (early == early_.end()) return;
  int status = early->second;
  early_.erase(early);
  stopped(tid, status);
  let_go(tid);
}

/// A process or thread whose start is not told of.
void TraceLoop::adopt_orphan(int tid) {
  orphans_.erase(tid);
  ProcessFiles files(tid);
  int pid = files.process();
  if (is_attached_ && !recorder_.setup().follows_children && !recorder_.find(pid)) {
    let_go_.insert(tid);
  } else if (TracedProcess* process = pid == tid ? nullptr : recorder_.find(pid)) {
    process->threads.insert(tid);
    threads_[tid] = {process};
  } else {
    TracedProcess& orphan = recorder_.add(tid);
    orphan.is_forked = true;
    orphan.is_tracked = recorder_.is_tracked_here(tid, identify(tid));
    if (orphan.is_tracked) orphan.code = std::make_shared<CodeSpace>(tid);
    threads_[tid] = {&orphan};
    if (recorder_.setup().wants_all_reports) recorder_.ledger_of(orphan);
  }
  handle_early_stop(tid);
}

/// A thread that is killed in a call that starts a process ends without a word of that.
void TraceLoop::find_orphans_of(int tid) {
  if (is_attached_ && !recorder_.setup().follows_children) return;
  for (int child : ProcessFiles(tid).children()) {
    // One that has ended and is not traced any more keeps its number only until it is collected.
    if (recorder_.find(child) || ProcessFiles(child).tracer() != gettid()) continue;
    orphans_.insert(child);
    if (early_.contains(child)) adopt_orphan(child);
  }
}

void TraceLoop::executed(int tid) {
  auto former = threads_.find(static_cast<int>(event_message(tid)));
  if (former == threads_.end()) return;
  TracedProcess& process = *former->second.process;
  for (int thread : process.threads) threads_.erase(thread);
  process.threads = {tid};
  threads_[tid] = {&process};
  // After close-on-exec has been done.
  process.begun = beginning_of(tid);
  recorder_.note_exec_leaks(process, process.begun->identity.exe, process.begun->open);
  if (process.ledger) process.ledger->replaced();
  process.ledger.reset();
  process.files_of = 0;
  process.is_forked = false;
  process.library_coverage.reset();
  process.has_library_part = false;
  if (recorder_.setup().ledgers.has_runtime) recorder_.library_file(tid).remove();
  process.is_tracked = !process.is_runtimes && recorder_.is_tracked_here(tid, process.begun->identity);
  process.code = process.is_tracked ? std::make_shared<CodeSpace>(tid) : nullptr;
  recorder_.ledger_of(process);
  process.begun.reset();
}

/// What it holds is compared with the kernel's lists while they are still there.
void TraceLoop::end(TracedProcess& process, int tid, int status) {
  if (process.has_ended) return;
  if (TracedLedger* ledger = recorder_.last_ledger_of(process)) ledger->end(tid, status);
  process.has_ended = true;
}

/// A thread is about to end: by itself, or with its process.
void TraceLoop::exits(int tid, Thread& thread) {
  TracedProcess& process = *thread.process;
  auto status = static_cast<int>(event_message(tid));
  thread.call = -1;
  find_orphans_of(tid);
  process.threads.erase(tid);
  bool is_killed = WIFSIGNALED(status);
  if (is_killed || process.threads.empty()) end(process, tid, is_killed ? -WTERMSIG(status) : WEXITSTATUS(status));
  if (!process.has_ended && process.ledger) process.ledger->thread_ended(tid);
  if (process.threads.empty() && process.ledger) {
    process.ledger->finish();
    process.ledger.reset();
  }
}

void TraceLoop::gone(int tid, int status) {
  orphans_.erase(tid);
  if (early_.erase(tid)) let_go(tid);
  auto found = threads_.find(tid);
  if (found == threads_.end()) return;
  TracedProcess* process = found->second.process;
  threads_.erase(found);
  process->threads.erase(tid);
  if (tid != process->pid) return;
  // The kernel tells of the main thread's end last. What was killed without a stop has left its ledger as it was.
  for (int thread : process->threads) threads_.erase(thread);
  if (process->ledger && process->has_ended) process->ledger->finish();
  recorder_.remove(tid);
  recorder_.note_end(tid, status);
}

}  // namespace unfreed::trace
