// The public C API's entry points (include/unfreed/unfreed.h says what they promise).
#include <errno.h>

#include <algorithm>

#include "base/keep_errno.h"
#include "runtime/runtime.h"
#include "track/children.h"
#include "track/epochs.h"
#include "track/fd.h"
#include "track/handles.h"
#include "track/heap.h"
#include "track/root_regions.h"
#include "track/threads.h"
#include "track/tracker.h"
#include "unfreed/unfreed.h"

using namespace unfreed;
using base::KeepErrno;
using track::g_tracker;

namespace {

#define UNFREED_API extern "C" __attribute__((visibility("default"), used))

/// A sanitizer's own come first.
#define UNFREED_LSAN extern "C" __attribute__((weak, visibility("default"), used))

bool is_tracking() { return g_tracker.phase.load(std::memory_order_acquire) == track::Phase::tracking; }

// A mark: bit 63, the heap epoch it opened in bits 32–46, the serial of the last descriptor or thread before it below.
constexpr unfreed_mark_t kMarkBit = uint64_t{1} << 63;
uint32_t mark_epoch(unfreed_mark_t mark) { return static_cast<uint32_t>(mark >> 32) & track::kLastEpoch; }
uint32_t mark_serial(unfreed_mark_t mark) { return static_cast<uint32_t>(mark); }

}  // namespace

UNFREED_API int unfreed_runtime_report(const char* path) {
  KeepErrno keep;
  if (!is_tracking()) return -1;
  constexpr int kPatienceMs = 20'000;  // two other reports may be made before it
  return runtime::report_now(report::Trigger::api, path, kPatienceMs) ? 0 : EIO;
}

UNFREED_API unfreed_mark_t unfreed_runtime_mark() {
  if (!is_tracking()) return 0;
  track::adopt_fork_if_needed();
  // Blocks born from now on carry the new epoch; at the last one marks can no longer be distinguished.
  return kMarkBit | uint64_t{track::open_epoch()} << 32 | g_tracker.serial.load(std::memory_order_acquire);
}

UNFREED_API int64_t unfreed_runtime_live_since(unfreed_mark_t mark, enum unfreed_kind kind) {
  KeepErrno keep;
  auto wanted = static_cast<ledger::Kind>(kind);
  if (!(mark & kMarkBit) || static_cast<unsigned>(kind) >= ledger::kKindCount || !track::enter(wanted)) return -1;
  switch (wanted) {
    case ledger::Kind::fd:
      return track::fd_live_since(mark_serial(mark));
    case ledger::Kind::heap:
      return mark_epoch(mark) == track::kLastEpoch ? -1 : track::heap_live_since(mark_epoch(mark));
    case ledger::Kind::thread:
      return track::thread_live_since(mark_serial(mark));
    case ledger::Kind::child:
      return track::child_live_since(mark_serial(mark));
    default:
      return track::handle_live_since(wanted, mark_serial(mark));
  }
}

namespace {
/// Lost blocks born in `epoch` or later; −1: not known.
int64_t count_lost_since(uint32_t epoch) {
  constexpr int kPatienceMs = 20'000;
  const ledger::Header& header = g_tracker.writer.header();
  // What a copy of the process finds out comes back through the ledger.
  bool is_shared = g_tracker.writer.backing() == ledger::Backing::shared_file;
  if (!is_tracking() || !is_shared || !runtime::grade_now(kPatienceMs, epoch)) return -1;
  bool is_done = header.grading.load(std::memory_order_acquire) == static_cast<uint32_t>(ledger::Grading::done);
  return is_done ? static_cast<int64_t>(header.lost_since.load(std::memory_order_relaxed)) : -1;
}
}  // namespace

UNFREED_API int64_t unfreed_runtime_lost_since(unfreed_mark_t mark) {
  KeepErrno keep;
  if (!(mark & kMarkBit) || mark_epoch(mark) == track::kLastEpoch) return -1;
  return count_lost_since(mark_epoch(mark));
}

// ---- LeakSanitizer's interface (sanitizer/lsan_interface.h): programs that are annotated for it need no change ----

UNFREED_LSAN void __lsan_ignore_object(const void* block) {
  KeepErrno keep;
  track::heap_ignore(block);
}
UNFREED_LSAN void __lsan_disable() {
  ++track::t_local.heap_pause_depth;
  track::refresh_active();
}
UNFREED_LSAN void __lsan_enable() {
  if (track::t_local.heap_pause_depth) --track::t_local.heap_pause_depth;
  track::refresh_active();
}
UNFREED_LSAN void __lsan_register_root_region(const void* start, size_t bytes) {
  auto low = reinterpret_cast<uintptr_t>(start);
  track::add_root_region({low, low + bytes});
}
UNFREED_LSAN void __lsan_unregister_root_region(const void* start, size_t bytes) {
  auto low = reinterpret_cast<uintptr_t>(start);
  track::remove_root_region({low, low + bytes});
}
/// Writes a report; unlike LeakSanitizer's it does not end the process: that is for rules.
UNFREED_LSAN void __lsan_do_leak_check() { unfreed_runtime_report(nullptr); }
UNFREED_LSAN int __lsan_do_recoverable_leak_check() {
  KeepErrno keep;
  return count_lost_since(0) > 0;
}

UNFREED_API int unfreed_runtime_ignore_fd(int fd) {
  KeepErrno keep;
  return track::fd_ignore(fd) ? 0 : -1;
}

UNFREED_API int unfreed_runtime_ignore_block(const void* block) {
  KeepErrno keep;
  return track::heap_ignore(block) ? 0 : -1;
}

UNFREED_API int unfreed_runtime_ignore_thread(pthread_t thread) {
  KeepErrno keep;
  return track::thread_ignore(thread) ? 0 : -1;
}

UNFREED_API void unfreed_runtime_pause() {
  ++track::t_local.pause_depth;
  track::refresh_active();
}

UNFREED_API void unfreed_runtime_resume() {
  if (track::t_local.pause_depth) --track::t_local.pause_depth;
  track::refresh_active();
}
