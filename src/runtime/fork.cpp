// Taking over a fork child. The parent's ledger is still mapped, shared: nothing may be written to it. A ledger of the
// child's own takes its place at the same address, so that everything that refers into it stays valid; sites and stacks
// are copied (the private hash tables refer to them by number), counts start from nothing, and what the parent held is
// inherited. The heap index is empty here: the kernel has left it so, as it has what threads remember of stacks.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/syscall.h"
#include "runtime/runtime.h"
#include "track/children.h"
#include "track/counters.h"
#include "track/crossings.h"
#include "track/failures.h"
#include "track/fd.h"
#include "track/heap.h"
#include "track/misuse.h"
#include "track/modules.h"
#include "track/threads.h"
#include "track/tracker.h"

namespace unfreed::runtime {

using ledger::SectionId;
using ledger::Writer;
using track::g_tracker;

namespace {

uint64_t records_in_use(const Writer& writer, SectionId id) {
  const ledger::Section& table = writer.section(id);
  return std::min(table.count.load(std::memory_order_acquire), table.capacity);
}

bool copy_section(const Writer& from, const Writer& to, SectionId id) {
  const ledger::Section& table = from.section(id);
  uint64_t count = records_in_use(from, id);
  uint64_t bytes = count * table.record_bytes;
  if (!bytes) return true;
  if (!to.ensure(table.offset, bytes)) return false;
  std::memcpy(static_cast<std::byte*>(to.base()) + table.offset, static_cast<std::byte*>(from.base()) + table.offset,
              bytes);
  to.section(id).count.store(count, std::memory_order_relaxed);
  return true;
}

bool copy_sites(const Writer& from, const Writer& to) {
  uint64_t count = records_in_use(from, SectionId::sites);
  for (uint64_t i = 0; i < count; ++i) {
    auto* source = from.at<ledger::Site>(SectionId::sites, i);
    auto* copy = to.touch<ledger::Site>(SectionId::sites, i);
    if (!copy) return false;
    copy->kind = source->kind;
    copy->flags = source->flags;
    copy->door = source->door;
    copy->node = source->node;
    copy->first_ns = source->first_ns;
  }
  to.section(SectionId::sites).count.store(count, std::memory_order_relaxed);
  return true;
}

void copy_header(const ledger::Header& from, ledger::Header& to) {
  to.pid = g_runtime.pid;
  to.ppid = static_cast<int>(base::raw_syscall(SYS_getppid));
  to.uid = static_cast<uint32_t>(base::raw_syscall(SYS_getuid));
  to.main_tid = g_runtime.pid;
  to.launcher_pid = from.launcher_pid;
  to.started_realtime_ns = base::realtime_ns();
  to.started_monotonic_ns = base::monotonic_ns();
  constexpr uint32_t kKept = ledger::kHeaderFlagManaged | ledger::kHeaderFlagForeignMalloc;
  to.flags.fetch_or((from.flags.load(std::memory_order_relaxed) & kKept) | ledger::kHeaderFlagForked,
                    std::memory_order_relaxed);
  to.session = from.session;
  to.exe = from.exe;
  to.program = from.program;
  to.argv = from.argv;
  to.argv_count = from.argv_count;
  to.output = from.output;
  to.rules = from.rules;
  to.suppressions = from.suppressions;
  to.door_names = from.door_names;
  to.door_count = from.door_count;
  to.kinds_tracked = from.kinds_tracked;
  to.depth = from.depth;
  to.sample_bytes = from.sample_bytes;
  to.exit_code = from.exit_code;
  to.quiet = from.quiet;
  std::memcpy(to.coverage, from.coverage, sizeof to.coverage);
  std::memcpy(to.coverage_reason, from.coverage_reason, sizeof to.coverage_reason);
}

/// Puts `fresh` in the place of the parent's ledger.
bool take_place(Writer& fresh) {
  void* place = g_tracker.writer.base();
  uint64_t bytes = fresh.header().file_bytes;
  long moved =
      base::raw_syscall(SYS_mremap, reinterpret_cast<long>(fresh.base()), static_cast<long>(bytes),
                        static_cast<long>(bytes), MREMAP_MAYMOVE | MREMAP_FIXED, reinterpret_cast<long>(place));
  if (base::is_error(moved)) return false;
  g_tracker.writer = fresh.moved_to(place);
  return true;
}

void reset_tables() {
  reset_reports_after_fork();
  track::reset_counters_after_fork();
  track::reset_failures_after_fork();
  track::reset_misuse_after_fork();
  track::reset_modules_after_fork();
  track::g_heap_index.reset_lock_after_fork();
  track::reset_states_after_fork();
  track::reset_threads_after_fork();
  track::reset_children_after_fork();
  g_tracker.is_fork_child = true;
}

}  // namespace

void take_over_fork_child() {
  g_runtime.pid = base::current_pid();
  Writer fresh;
  Writer parent = g_tracker.writer;
  bool mapped = map_ledger(g_runtime.place, g_runtime.pid, scale_index_of(parent.header()), fresh,
                           g_runtime.ledger_path, g_runtime.why_private);
  bool copied = mapped && copy_section(parent, fresh, SectionId::strings) &&
                copy_section(parent, fresh, SectionId::modules) && copy_section(parent, fresh, SectionId::nodes) &&
                copy_sites(parent, fresh);
  if (copied) {
    copy_header(parent.header(), fresh.header());
    track::fd_copy_parents(parent, fresh);
    track::keep_parents_crossings(parent);
  }
  if (!copied || !take_place(fresh)) {
    // No memory for a ledger: this child goes on untracked, and must not write to its parent's.
    parent.drop(ledger::Dropped::children_untracked);
    g_tracker.heap_use = track::HeapUse::none;
    g_tracker.phase.store(track::Phase::forwarding, std::memory_order_release);
    say("unfreed: a forked child is not tracked: there is no memory for its ledger");
    return;
  }
  reset_tables();
  track::fd_take_inherited();
  g_tracker.writer.header().state.store(static_cast<uint32_t>(ledger::State::live), std::memory_order_release);
}

}  // namespace unfreed::runtime
