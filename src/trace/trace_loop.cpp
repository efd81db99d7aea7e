#include "trace/trace_loop.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/syscall.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "elf/preload.h"
#include "settings/settings.h"
#include "trace/pass_through.h"
#include "trace/process_files.h"
#include "trace/stopped_thread.h"

namespace unfreed::trace {

using ledger::FdOrigin;
using ledger::FdRecord;

namespace {

bool shares_descriptors(int tid, const arch::TracedRegisters& registers) {
  uint64_t flags = registers.argument(0);
  if (registers.call() == SYS_clone3 && !read_value(tid, registers.argument(0), flags)) return false;
  return (registers.call() == SYS_clone || registers.call() == SYS_clone3) && flags & CLONE_FILES;
}

}  // namespace

long TraceLoop::options() const {
  constexpr long kAlways = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT;
  constexpr long kChildren = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
  if (!is_attached_) return kAlways | kChildren | PTRACE_O_TRACESECCOMP;
  return kAlways | (setup_.follows_children ? kChildren : 0);
}

int TraceLoop::seize(int pid) {
  if (ptrace(PTRACE_SEIZE, pid, 0, options()) != 0) return errno;
  setup_.ledgers.command_pid = pid;
  auto process = std::make_unique<Process>();
  process->pid = pid;
  process->threads.insert(pid);
  threads_[pid] = {process.get()};
  processes_[pid] = std::move(process);
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
      gone(tid);
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
    bool is_nobodys = files.process() == tid && !find(files.parent());
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

TraceLoop::Process* TraceLoop::find(int pid) {
  auto found = processes_.find(pid);
  return found == processes_.end() ? nullptr : found->second.get();
}

/// A forked child gets one when it first has something to say.
TracedLedger* TraceLoop::ledger_of(Process& process) {
  if (!process.is_tracked || process.has_ended) return nullptr;
  if (process.ledger) return process.ledger.get();
  std::string error;
  process.ledger = TracedLedger::make(setup_.ledgers, process.pid, *process.code, process.is_forked, error);
  process.ledger_number = next_ledger_++;
  if (process.ledger) return process.ledger.get();
  process.is_tracked = false;
  if (!note_untracked(process.pid, elf::Obstacle::no_ledger)) count_untracked(process.pid);
  return nullptr;
}

TracedLedger* TraceLoop::files_ledger_of(Process& process) {
  Process* owner = process.files_of ? find(process.files_of) : nullptr;
  return ledger_of(owner ? *owner : process);
}

// ---- threads and processes ----

void TraceLoop::adopt(int tid, int event, long new_tid) {
  if (new_tid <= 0) return;
  Process& parent = *threads_[tid].process;
  int child_tid = static_cast<int>(new_tid);
  arch::TracedRegisters registers;
  bool has_registers = read_registers(tid, registers);
  int call = has_registers ? find_call(registers.call()) : -1;
  Caller caller{tid, static_cast<uint16_t>(std::max(call, 0)), registers};
  bool is_thread = event == PTRACE_EVENT_CLONE && ProcessFiles(child_tid).process() == parent.pid;
  TracedLedger* ledger = has_registers ? ledger_of(parent) : nullptr;
  if (threads_.contains(child_tid)) {
    if (!is_thread && ledger) ledger->child_started(child_tid, caller);
  } else if (is_thread) {
    parent.threads.insert(child_tid);
    threads_[child_tid] = {&parent};
    if (ledger) ledger->thread_started(child_tid, caller);
  } else if (is_attached_ && !setup_.follows_children) {
    let_go_.insert(child_tid);  // the call's end says that it was started
  } else {
    auto child = std::make_unique<Process>();
    child->pid = child_tid;
    child->threads.insert(child_tid);
    child->is_tracked = parent.is_tracked;
    child->is_forked = true;
    child->code = parent.code;
    if (has_registers && shares_descriptors(tid, registers))
      child->files_of = parent.files_of ? parent.files_of : parent.pid;
    else
      keep_parents_fds(parent, *child);
    if (ledger) ledger->child_started(child_tid, caller);
    threads_[child_tid] = {child.get()};
    Process& made = *(processes_[child_tid] = std::move(child));
    if (setup_.wants_all_reports) ledger_of(made);
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
  if (is_attached_ && !setup_.follows_children && !find(pid)) {
    let_go_.insert(tid);
  } else if (Process* process = pid == tid ? nullptr : find(pid)) {
    process->threads.insert(tid);
    threads_[tid] = {process};
  } else {
    auto made = std::make_unique<Process>();
    made->pid = tid;
    made->threads.insert(tid);
    made->is_forked = true;
    made->is_tracked = is_tracked_here(tid);
    if (made->is_tracked) made->code = std::make_shared<CodeSpace>(tid);
    threads_[tid] = {made.get()};
    Process& orphan = *(processes_[tid] = std::move(made));
    if (setup_.wants_all_reports) ledger_of(orphan);
  }
  handle_early_stop(tid);
}

/// A thread that is killed in a call that starts a process ends without a word of that.
void TraceLoop::find_orphans_of(int tid) {
  if (is_attached_ && !setup_.follows_children) return;
  for (int child : ProcessFiles(tid).children()) {
    // One that has ended and is not traced any more keeps its number only until it is collected.
    if (find(child) || ProcessFiles(child).tracer() != gettid()) continue;
    orphans_.insert(child);
    if (early_.contains(child)) adopt_orphan(child);
  }
}

void TraceLoop::keep_parents_fds(const Process& parent, Process& child) const {
  child.parents_fds = parent.parents_fds;
  if (!parent.ledger) return;
  const ledger::Writer& writer = parent.ledger->writer();
  auto count = static_cast<int>(writer.section(ledger::SectionId::fds).count.load());
  for (int fd = 3; fd < count; ++fd) {
    const FdRecord* record = parent.ledger->record_of(fd);
    uint64_t word = record ? record->word.load(std::memory_order_relaxed) : 0;
    FdOrigin origin = ledger::fd_origin(word);
    if (word && (origin == FdOrigin::acquired || origin == FdOrigin::received))
      child.parents_fds[fd] = {parent.pid, parent.ledger_number, word};
  }
}

/// After close-on-exec has been done.
void TraceLoop::note_exec_leaks(Process& process, const std::string& program) {
  if (process.parents_fds.empty()) return;
  const report::NumberRanges& allowed = setup_.ledgers.settings->inheritable;
  for (int fd : ProcessFiles(process.pid).numbers("fd")) {
    auto found = process.parents_fds.find(fd);
    if (found == process.parents_fds.end()) continue;
    bool is_allowed = false;
    for (size_t at = 0; at < allowed.count; ++at)
      is_allowed |= fd >= allowed.ranges[at].first && fd <= allowed.ranges[at].last;
    Process* parent = find(found->second.parent);
    if (!is_allowed && parent && parent->ledger && !parent->has_ended && parent->ledger_number == found->second.ledger)
      parent->ledger->exec_leaked(fd, found->second.word, process.pid, program);
  }
  process.parents_fds.clear();
}

/// In the ledger of its parent, or of any other process: the launcher adds them up.
void TraceLoop::count_untracked(int pid) {
  Process* teller = find(ProcessFiles(pid).parent());
  auto has_ledger = [](const Process* process) { return process && process->ledger; };
  for (auto& [number, process] : processes_) {
    if (has_ledger(teller)) break;
    teller = process.get();
  }
  if (has_ledger(teller)) teller->ledger->writer().drop(ledger::Dropped::children_untracked);
}

/// On the run's board, as the hooks of exec do it. False: there is no room for the board either.
bool TraceLoop::note_untracked(int pid, elf::Obstacle obstacle) {
  using Board = ledger::UntrackedBoard;
  if (!board_ && !setup_.board.empty()) {
    base::UniqueFd file(base::open_file(setup_.board.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    void* place = file ? mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0) : MAP_FAILED;
    if (place != MAP_FAILED) board_ = static_cast<Board*>(place);
  }
  if (!board_ || !ledger::back_shared_memory(reinterpret_cast<std::byte*>(board_), sizeof(Board))) return false;
  uint32_t index = board_->count.fetch_add(1, std::memory_order_acq_rel);
  if (index >= Board::kRecords) {
    board_->dropped.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  ledger::Untracked& record = board_->records[index];
  record.obstacle = static_cast<uint8_t>(obstacle);
  record.pids[0].store(pid, std::memory_order_relaxed);
  record.started_ns[0].store(base::monotonic_ns(), std::memory_order_relaxed);
  record.processes_noted.store(1, std::memory_order_relaxed);
  record.count.store(1, std::memory_order_relaxed);
  base::TextBuilder(record.program).add(ProcessFiles(pid).link("exe"));
  record.state.store(ledger::kUntrackedValid, std::memory_order_release);
  return true;
}

bool TraceLoop::is_tracked_here(int pid) {
  ProcessFiles files(pid);
  std::string exe = "/proc/" + std::to_string(pid) + "/exe";
  bool is_there = false;
  elf::Obstacle obstacle = elf::judge(exe.c_str(), AT_FDCWD, is_there).obstacle;
  std::string name = files.name_as_started();
  if (name.empty()) name = base::base_name(files.link("exe"));
  if (!report::is_wanted(*setup_.ledgers.settings, name)) return false;
  if (obstacle == elf::Obstacle::other_processor) {
    if (!note_untracked(pid, obstacle)) count_untracked(pid);  // its calls have other numbers
    return false;
  }
  if (setup_.traces_all || obstacle != elf::Obstacle::none) return true;
  std::string preload = files.variable("LD_PRELOAD");
  bool is_loaded = elf::any_preload_entry(
      preload, [&](std::string_view entry) { return base::base_name(entry) == setup_.runtime_file; });
  return !is_loaded || files.variable("UNFREED_SESSION").empty();
}

void TraceLoop::executed(int tid) {
  auto former = threads_.find(static_cast<int>(event_message(tid)));
  if (former == threads_.end()) return;
  Process& process = *former->second.process;
  for (int thread : process.threads) threads_.erase(thread);
  process.threads = {tid};
  threads_[tid] = {&process};
  ProcessFiles files(tid);
  note_exec_leaks(process, files.link("exe"));
  if (process.ledger) process.ledger->replaced();
  process.ledger.reset();
  process.files_of = 0;
  process.is_forked = false;
  process.is_tracked = is_tracked_here(tid);
  process.code = process.is_tracked ? std::make_shared<CodeSpace>(tid) : nullptr;
  ledger_of(process);
}

/// What it holds is compared with the kernel's lists while they are still there.
void TraceLoop::end(Process& process, int tid, int status) {
  if (process.has_ended) return;
  if (process.ledger) process.ledger->end(tid, status);
  process.has_ended = true;
}

/// A thread is about to end: by itself, or with its process.
void TraceLoop::exits(int tid, Thread& thread) {
  Process& process = *thread.process;
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

void TraceLoop::gone(int tid) {
  orphans_.erase(tid);
  if (early_.erase(tid)) let_go(tid);
  auto found = threads_.find(tid);
  if (found == threads_.end()) return;
  Process* process = found->second.process;
  threads_.erase(found);
  process->threads.erase(tid);
  if (tid != process->pid) return;
  // The kernel tells of the main thread's end last. What was killed without a stop has left its ledger as it was.
  for (int thread : process->threads) threads_.erase(thread);
  if (process->ledger && process->has_ended) process->ledger->finish();
  processes_.erase(tid);
}

}  // namespace unfreed::trace
