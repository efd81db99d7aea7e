// The public C API's entry points (include/unfreed/unfreed.h says what they promise).
#include <errno.h>

#include <algorithm>

#include "base/keep_errno.h"
#include "base/passing_memory.h"
#include "runtime/held_since.h"
#include "runtime/report_now.h"
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

namespace {
/// False: bad mark, or a kind that is not tracked.
bool find_live_since(unfreed_mark_t mark, enum unfreed_kind kind, track::LiveSince& out) {
  auto wanted = static_cast<ledger::Kind>(kind);
  if (!(mark & kMarkBit) || static_cast<unsigned>(kind) >= ledger::kKindCount || !track::enter(wanted)) return false;
  switch (wanted) {
    case ledger::Kind::fd:
      track::fd_live_since(mark_serial(mark), out);
      return true;
    case ledger::Kind::heap:
      if (mark_epoch(mark) == track::kLastEpoch) return false;
      track::heap_live_since(mark_epoch(mark), out);
      return true;
    case ledger::Kind::thread:
      track::thread_live_since(mark_serial(mark), out);
      return true;
    case ledger::Kind::child:
      track::child_live_since(mark_serial(mark), out);
      return true;
    default:
      track::handle_live_since(wanted, mark_serial(mark), out);
      return true;
  }
}

/// The sites that hold most, in order of their numbers.
size_t choose_sites(const track::LiveSince& live, std::span<report::HeldSite> out) {
  auto holds_less = [](const report::HeldSite& a, const report::HeldSite& b) { return a.count > b.count; };
  size_t count = 0;
  for (size_t site = 0; site < live.sites(); ++site) {
    track::LiveCount held = live.of(site);
    if (!held.count) continue;
    report::HeldSite one{static_cast<uint32_t>(site), held.count, held.bytes};
    if (count < out.size()) {
      out[count++] = one;
      std::push_heap(out.begin(), out.begin() + static_cast<ptrdiff_t>(count), holds_less);
    } else if (one.count > out[0].count) {
      std::pop_heap(out.begin(), out.end(), holds_less);
      out.back() = one;
      std::push_heap(out.begin(), out.end(), holds_less);
    }
  }
  std::sort(out.begin(), out.begin() + static_cast<ptrdiff_t>(count),
            [](const report::HeldSite& a, const report::HeldSite& b) { return a.site < b.site; });
  return count;
}

/// A site without texts: they are filled in later, or are not known.
struct unfreed_site blank_site(enum unfreed_kind kind, uint64_t count, uint64_t bytes) {
  struct unfreed_site site {};
  site.size = sizeof site;
  site.kind = kind;
  site.count = count;
  site.bytes = bytes;
  site.acquired_by = site.target = site.function = site.file = site.stack = "";
  return site;
}

/// Calls `visit` for each site that `find(sum)` finds; what has no known site comes last, as one without names.
/// Returns how much that is; −1: it could not be found.
template <class Find>
int64_t visit_sites(enum unfreed_kind kind, unfreed_site_visitor visit, void* context, Find find) {
  if (!is_tracking() || track::in_vfork_child()) return -1;
  ledger::View view = runtime::own_view();
  size_t sites = size_t{view.site_count()} + 1;
  base::PassingMemory by_site(sites * sizeof(track::LiveCount));
  if (!by_site.start()) return -1;
  track::LiveSince live({static_cast<track::LiveCount*>(by_site.start()), sites});
  if (!find(live)) return -1;
  report::HeldSite held[runtime::HeldSince::kMostSites];
  size_t count = choose_sites(live, held);
  int64_t total = 0;
  track::LiveCount rest = live.rest();
  auto visit_rest = [&] {
    if (!rest.count) return total;
    struct unfreed_site site = blank_site(kind, rest.count, rest.bytes);
    visit(context, &site);
    return total + static_cast<int64_t>(rest.count);
  };
  if (count == 0) return visit_rest();
  runtime::HeldSince described(std::span<const report::HeldSite>(held, count));
  if (!described) return -1;
  for (report::HeldText one; described.next(one);) {
    total += static_cast<int64_t>(one.count);
    struct unfreed_site site = blank_site(kind, one.count, one.bytes);
    site.line = one.line;
    site.acquired_by = one.acquired_by.data();
    site.target = one.target.data();
    site.function = one.function.data();
    site.file = one.file.data();
    site.stack = one.stack.data();
    if (visit(context, &site)) return total;
  }
  return visit_rest();
}
}  // namespace

UNFREED_API int64_t unfreed_runtime_live_since(unfreed_mark_t mark, enum unfreed_kind kind) {
  KeepErrno keep;
  track::LiveSince live;
  return find_live_since(mark, kind, live) ? live.total() : -1;
}

UNFREED_API int64_t unfreed_runtime_live_since_each(unfreed_mark_t mark, enum unfreed_kind kind,
                                                    unfreed_site_visitor visit, void* context) {
  KeepErrno keep;
  return visit_sites(kind, visit, context, [&](track::LiveSince& live) { return find_live_since(mark, kind, live); });
}

namespace {
struct Lost {
  int64_t count = -1;               ///< −1: not known
  track::LiveSince* sum = nullptr;  ///< where they are added, site by site; nullptr: nowhere
};

/// What the grading that has just been made found out.
void read_lost(void* context) {
  auto& lost = *static_cast<Lost*>(context);
  const ledger::Header& header = g_tracker.writer.header();
  bool is_done = header.grading.load(std::memory_order_acquire) == static_cast<uint32_t>(ledger::Grading::done);
  if (!is_done) return;
  lost.count = static_cast<int64_t>(header.lost_since.load(std::memory_order_relaxed));
  if (!lost.sum) return;
  ledger::View view = runtime::own_view();
  for (uint32_t at = 0; at < view.grades_of_site_count(); ++at)
    if (const ledger::SiteGrades* grades = view.grades_of_site(at))
      lost.sum->add_estimate(grades->site, grades->lost_since.blocks << ledger::kSampledCountShift,
                             grades->lost_since.bytes << ledger::kSampledCountShift);
  // Without grades of sites.
  if (lost.sum->total() == 0)
    lost.sum->add_estimate(0, static_cast<uint64_t>(lost.count) << ledger::kSampledCountShift, 0);
}

/// Lost blocks born in `epoch` or later; −1: not known.
int64_t count_lost_since(uint32_t epoch, track::LiveSince* sum = nullptr) {
  constexpr int kPatienceMs = 20'000;
  // A copy of the process answers through the ledger.
  bool is_shared = g_tracker.writer.backing() == ledger::Backing::shared_file;
  Lost lost{-1, sum};
  if (is_tracking() && is_shared) runtime::grade_now(kPatienceMs, epoch, read_lost, &lost);
  return lost.count;
}

/// Can it be found out which heap blocks are lost since the mark?
bool is_mark_of_heap(unfreed_mark_t mark) { return mark & kMarkBit && mark_epoch(mark) != track::kLastEpoch; }
}  // namespace

UNFREED_API int64_t unfreed_runtime_lost_since(unfreed_mark_t mark) {
  KeepErrno keep;
  return is_mark_of_heap(mark) ? count_lost_since(mark_epoch(mark)) : -1;
}

UNFREED_API int64_t unfreed_runtime_lost_since_each(unfreed_mark_t mark, unfreed_site_visitor visit, void* context) {
  KeepErrno keep;
  if (!is_mark_of_heap(mark)) return -1;
  return visit_sites(UNFREED_HEAP, visit, context,
                     [&](track::LiveSince& live) { return count_lost_since(mark_epoch(mark), &live) >= 0; });
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
/// Writes a report; unlike LeakSanitizer's function it does not end the process: only rules change its status.
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
