#include "track/thread_stacks.h"

#include <sys/uio.h>

#include <algorithm>
#include <string_view>

#include "base/syscall.h"
#include "base/text.h"
#include "track/modules.h"
#include "track/sites.h"
#include "track/tracker.h"
#include "unwind/walk.h"

namespace unfreed::track {

using ledger::SectionId;
using ledger::ThreadRecord;

namespace {

/// Threads whose stacks are taken; a report lists no more.
constexpr uint64_t kMostThreads = 256;
/// As much of a stack as is looked at.
constexpr size_t kMostBytes = 256 * 1024;
constexpr size_t kMostFramesShown = 128;

/// Not on the stack, which may be a signal handler's small one.
struct Work {
  std::byte stack[kMostBytes];
  unwind::Frame frames[kMostFramesShown];
};

struct Place {
  uintptr_t sp;
  uintptr_t pc;
};

uintptr_t parse_hexadecimal(std::string_view text) {
  uintptr_t value = 0;
  if (text.size() < 3 || text[0] != '0' || text[1] != 'x') return 0;
  for (char digit : base::slice(text, 2)) {
    if (!((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f'))) break;
    value = value << 4 | static_cast<uintptr_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
  }
  return value;
}

/// "NR ARGS… SP PC", "-1 SP PC" (stopped elsewhere in the kernel), or "running".
bool find_place(int tid, Place& out) {
  base::FixedText<64> path;
  path.add("/proc/self/task/").add_signed(tid).add("/syscall");
  char text[256];
  long size = base::read_file(path.c_str(), text, sizeof text);
  std::string_view line(text, size > 0 ? static_cast<size_t>(size) : 0);
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.remove_suffix(1);
  size_t last = line.rfind(' ');
  if (last == line.npos) return false;
  std::string_view before = base::slice(line, 0, last);
  size_t second = before.rfind(' ');
  if (second == line.npos) return false;
  out = {parse_hexadecimal(base::slice(before, second + 1)), parse_hexadecimal(base::slice(line, last + 1))};
  return out.sp && out.pc;
}

/// Copies what lies between the stack pointer and the stack's end; fewer bytes where less is mapped.
size_t copy_stack(const Place& place, uintptr_t high, std::byte* to) {
  size_t bytes = std::min<uintptr_t>(kMostBytes, high - place.sp);
  iovec local{to, bytes};
  iovec remote{reinterpret_cast<void*>(place.sp), bytes};
  long got = base::raw_syscall(SYS_process_vm_readv, base::current_pid(), reinterpret_cast<long>(&local), 1,
                               reinterpret_cast<long>(&remote), 1, 0);
  return got > 0 ? static_cast<size_t>(got) : 0;
}

void take_stack(ThreadRecord& record, Work& work) {
  Place place;
  uint32_t generation = record.generation;
  if (!find_place(record.tid, place)) return;
  // A coroutine's or an alternate stack has bounds that nobody told; so much is tried.
  bool own = place.sp >= record.stack_low && place.sp < record.stack_high;
  uintptr_t high = own ? record.stack_high : place.sp + kMostBytes;
  size_t bytes = copy_stack(place, high, work.stack);
  // Has it moved on meanwhile? Then what was copied is of two moments.
  Place after;
  if (bytes < sizeof(uintptr_t) || !find_place(record.tid, after) || after.sp != place.sp || after.pc != place.pc)
    return;
  unwind::StackBounds bounds{place.sp, place.sp + bytes,
                             reinterpret_cast<intptr_t>(work.stack) - static_cast<intptr_t>(place.sp)};
  std::span<unwind::Frame> frames = std::span(work.frames).first(std::min<size_t>(kMostFramesShown, g_tracker.depth));
  unwind::SlotLog log;
  unwind::WalkResult walked =
      unwind::walk({place.pc, place.sp, 0, true, false}, bounds, g_tracker.runtime_module, frames, log);
  bool truncated = walked.truncated;
  if (record.generation != generation) return;  // the slot is another thread's by now
  record.current_node = intern_stack(frames.first(walked.frames), truncated);
  record.current_truncated = truncated;
  record.current_ns = base::monotonic_ns();
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
  uint64_t count = g_tracker.writer.section(SectionId::threads).count.load(std::memory_order_acquire);
  Work* work = nullptr;
  int own_tid = base::current_tid();
  uint64_t running = 0;
  for (uint64_t i = 0; i < count && running < kMostThreads; ++i) {
    auto* record = g_tracker.writer.touch<ThreadRecord>(SectionId::threads, i);
    if (!record || record->state.load(std::memory_order_acquire) != static_cast<uint32_t>(ledger::ThreadState::running))
      continue;
    ++running;
    record->current_ns = 0;
    if (record->tid == own_tid) {
      bool truncated = false;
      uint32_t node = capture_node(from, truncated);
      record->current_node = is_all_libc(node) ? 0 : node;
      record->current_truncated = truncated;
      record->current_ns = base::monotonic_ns();
      continue;
    }
    if (!work) work = static_cast<Work*>(base::map_memory(sizeof(Work)));
    if (!work || !unwind::begin_reading_foreign_code()) break;
    take_stack(*record, *work);
    unwind::end_reading_foreign_code();
  }
  if (work) base::unmap_memory(work, sizeof(Work));
}

}  // namespace unfreed::track
