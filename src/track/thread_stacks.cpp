#include "track/thread_stacks.h"

#include <algorithm>

#include "base/syscall.h"
#include "track/modules.h"
#include "track/sites.h"
#include "track/tracker.h"
#include "unwind/waiting_thread.h"
#include "unwind/walk.h"

namespace unfreed::track {

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

/// `pid`: of the process, 0 for this one.
void take_stack(int pid, ThreadRecord& record, Work& work) {
  uint32_t generation = record.generation;
  std::span<unwind::Frame> frames = std::span(work.frames).first(std::min<size_t>(kMostFramesShown, g_tracker.depth));
  unwind::WalkResult walked;
  unwind::WaitingThread thread{pid, record.tid, record.stack_low, record.stack_high};
  if (walk_waiting(thread, work.stack, g_tracker.runtime_module, frames, walked) != unwind::WaitingWalk::done) return;
  bool truncated = walked.truncated;
  if (record.generation != generation) return;  // the slot is another thread's by now
  record.current_node = intern_stack(frames.first(walked.frames), truncated);
  record.current_truncated = truncated;
  record.current_ns = base::monotonic_ns();
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
  bool take(ThreadRecord& record) {
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

/// Is nothing of the program's own on this stack but, outermost, where it began? So stands a main thread that has
/// returned from main: nothing to tell, and libc's debug information, where it is installed, takes long to read.
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
    uint32_t node = capture_node(from, truncated);
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

}  // namespace unfreed::track
