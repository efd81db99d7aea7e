#include "track/thread_stacks.h"

#include <time.h>

#include <algorithm>

#include "base/syscall.h"
#include "track/modules.h"
#include "track/sites.h"
#include "track/tracker.h"
#include "unwind/waiting_thread.h"
#include "unwind/walk.h"

namespace unfreed::track {

using ledger::KernelTask;
using ledger::SectionId;
using ledger::ThreadRecord;

namespace {

/// Threads whose stacks are taken; a report lists no more.
constexpr uint64_t kMostThreads = 256;
constexpr size_t kMostFramesShown = 128;

/// Not on the stack, which may be a signal handler's small one.
struct Work {
  std::byte stack[unwind::kMostWaitingBytes];
  unwind::Frame frames[kMostFramesShown];
};

/// The frames of a thread that waits, innermost first; none if it does not. `thread.pid`: 0 for this process.
std::span<const unwind::Frame> walk_thread(const unwind::WaitingThread& thread, Work& work, bool& truncated) {
  std::span<unwind::Frame> frames = std::span(work.frames).first(std::min<size_t>(kMostFramesShown, g_tracker.depth));
  unwind::WalkResult walked;
  if (walk_waiting(thread, work.stack, g_tracker.runtime_module, frames, walked) != unwind::WaitingWalk::done)
    return {};
  truncated = walked.truncated;
  return frames.first(walked.frames);
}

void take_stack(int pid, ThreadRecord& record, Work& work) {
  uint32_t generation = record.generation;
  bool truncated = false;
  auto frames = walk_thread({pid, record.tid, record.stack_low, record.stack_high}, work, truncated);
  if (frames.empty() || record.generation != generation) return;  // the slot is another thread's by now
  record.current_node = intern_stack(frames, truncated);
  record.current_truncated = truncated;
  record.current_ns = base::monotonic_ns();
}

/// clone, libc's start of a thread, and a start routine within libc.
bool is_started_by_libc(std::span<const unwind::Frame> frames) {
  constexpr size_t kOutermost = 3;
  return frames.size() > kOutermost && std::all_of(frames.end() - kOutermost, frames.end(),
                                                   [](const auto& frame) { return is_libc_module(frame.module); });
}

void take_stack(int pid, KernelTask& task, Work& work) {
  bool truncated = false;
  std::span<const unwind::Frame> frames;
  // libc's own wait again as soon as they have done what they were asked for.
  constexpr int kAttempts = 10;
  for (int attempt = 0; attempt < kAttempts && frames.empty(); ++attempt) {
    constexpr long kPauseNs = 100'000;
    timespec pause{0, attempt ? kPauseNs : 0};
    if (attempt) base::raw_syscall(SYS_nanosleep, reinterpret_cast<long>(&pause), 0);
    frames = walk_thread({pid, task.id, 0, 0}, work, truncated);
  }
  if (frames.empty()) return;
  if (!truncated && is_started_by_libc(frames)) task.flags |= ledger::kTaskLibc;
  task.node = intern_stack(frames, truncated);
  if (truncated) task.flags |= ledger::kTaskTruncated;
}

/// Takes stacks one by one. The memory for it is there only when a stack is asked for.
class Stacks {
 public:
  /// `pid`: of the process, 0 for this one.
  explicit Stacks(int pid) : pid_(pid) {}
  ~Stacks() {
    if (work_) base::unmap_memory(work_, sizeof(Work));
  }
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;

  /// False: there is no use in asking for more.
  template <class Record>
  bool take(Record& record) {
    if (!work_) work_ = static_cast<Work*>(base::map_memory(sizeof(Work)));
    int reading = work_ ? unwind::begin_reading_foreign_code() : -1;
    if (reading < 0) return false;
    take_stack(pid_, record, *work_);
    unwind::end_reading_foreign_code(reading);
    return true;
  }

 private:
  int pid_;
  Work* work_ = nullptr;
};

/// Calls `visit` for the record of every thread that runs, until it returns false.
template <class Visit>
void each_running_thread(Visit visit) {
  uint64_t count = g_tracker.writer.section(SectionId::threads).count.load(std::memory_order_acquire);
  uint64_t running = 0;
  for (uint64_t i = 0; i < count && running < kMostThreads; ++i) {
    auto* record = g_tracker.writer.touch<ThreadRecord>(SectionId::threads, i);
    if (!record || record->state.load(std::memory_order_acquire) != static_cast<uint32_t>(ledger::ThreadState::running))
      continue;
    ++running;
    if (!visit(*record)) return;
  }
}

bool is_known_thread(int tid) {
  bool is_known = false;
  uint64_t count = g_tracker.writer.section(SectionId::threads).count.load(std::memory_order_acquire);
  for (uint64_t i = 0; i < count && !is_known; ++i) {
    auto* record = g_tracker.writer.touch<ThreadRecord>(SectionId::threads, i);
    is_known = record && record->tid == tid &&
               record->state.load(std::memory_order_acquire) == static_cast<uint32_t>(ledger::ThreadState::running);
  }
  return is_known;
}

/// Are all frames libc's, except the outermost, where the program began? Such is the stack of a main thread that has
/// returned from main. It says nothing, and libc's debug information, if installed, takes long to read.
bool is_all_libc(uint32_t node) {
  while (node) {
    const auto& frame = *g_tracker.writer.at<ledger::Node>(SectionId::nodes, node);
    if (frame.parent && !is_libc_module(frame.module & ledger::kNodeModuleMask)) return false;
    node = frame.parent;
  }
  return true;
}

}  // namespace

void take_thread_stacks(const unwind::Registers& from) {
  Stacks stacks(0);
  int own_tid = base::current_tid();
  each_running_thread([&](ThreadRecord& record) {
    record.current_ns = 0;
    if (record.tid != own_tid) return stacks.take(record);
    bool truncated = false;
    uint32_t node = capture_node(ledger::Kind::thread, from, truncated);
    record.current_node = is_all_libc(node) ? 0 : node;
    record.current_truncated = truncated;
    record.current_ns = base::monotonic_ns();
    return true;
  });
}

void take_missing_thread_stacks(int pid) {
  Stacks stacks(pid);
  each_running_thread([&](ThreadRecord& record) { return record.current_ns != 0 || stacks.take(record); });
}

void take_unlisted_thread_stacks(int pid) {
  Stacks stacks(pid);
  uint64_t tasks = g_tracker.writer.section(SectionId::kernel_tasks).count.load(std::memory_order_acquire);
  size_t taken = 0;
  for (uint64_t i = 0; i < tasks && taken < kMostThreads; ++i) {
    auto* task = g_tracker.writer.touch<KernelTask>(SectionId::kernel_tasks, i);
    if (!task || task->is_child || is_known_thread(task->id)) continue;
    ++taken;
    if (!stacks.take(*task)) return;
  }
}

}  // namespace unfreed::track
