// Taking over a fork child. The parent's ledger is still mapped, shared: nothing may be written to it. A ledger of the
// child's own takes its place at the same address, so that everything that refers into it stays valid; sites and stacks
// are copied (the private hash tables refer to them by number), counts start from nothing, and what the parent held is
// inherited. The heap index is empty here: the kernel has left it so, as it has what threads remember of stacks.
#include <cstring>

#include "base/own_memory.h"
#include "base/syscall.h"
#include "grade/stopped_threads.h"
#include "hook/redirect.h"
#include "runtime/ancestry.h"
#include "runtime/ledger_memory.h"
#include "runtime/own_settings.h"
#include "runtime/runtime.h"
#include "track/children.h"
#include "track/counters.h"
#include "track/epochs.h"
#include "track/exec_leaks.h"
#include "track/failures.h"
#include "track/fd.h"
#include "track/footprint.h"
#include "track/handles.h"
#include "track/heap.h"
#include "track/heap_index.h"
#include "track/levels.h"
#include "track/mappings.h"
#include "track/misuse.h"
#include "track/modules.h"
#include "track/report_signal.h"
#include "track/rings.h"
#include "track/root_regions.h"
#include "track/sites.h"
#include "track/tests.h"
#include "track/threads.h"
#include "track/tracker.h"
#include "unwind/walk.h"

namespace unfreed::runtime {

using ledger::SectionId;
using ledger::Writer;
using track::g_tracker;

namespace {

/// Counts of what the child has copied are its parent's: they start from nothing.
void reset_sites() {
  const Writer& writer = g_tracker.writer;
  uint64_t count = writer.section(SectionId::sites).count.load(std::memory_order_relaxed);
  for (uint64_t i = 0; i < count; ++i) {
    if (auto* site = writer.known<ledger::Site>(SectionId::sites, i)) site->forget_counts();
  }
}

/// The same tables in the same places; of those that are not copied nothing is in use.
void copy_sections(const ledger::Header& from, ledger::Header& to) {
  ledger::lay_out_like(from, to);
  for (SectionId id : {SectionId::strings, SectionId::modules, SectionId::nodes, SectionId::sites, SectionId::fds}) {
    auto index = static_cast<size_t>(id);
    to.sections[index].count.store(from.sections[index].count.load(std::memory_order_acquire),
                                   std::memory_order_relaxed);
  }
}

void copy_header(const ledger::Header& from, ledger::Header& to) {
  to.ppid = static_cast<int>(base::raw_syscall(SYS_getppid));
  to.uid = static_cast<uint32_t>(base::raw_syscall(SYS_getuid));
  to.main_tid = g_runtime.pid;
  to.launcher_pid = from.launcher_pid;
  to.started_realtime_ns = base::realtime_ns();
  to.started_monotonic_ns = base::monotonic_ns();
  uint32_t same = ledger::kHeaderFlagForeignMalloc | (g_runtime.is_attached ? ledger::kHeaderFlagRoot : 0);
  uint32_t kept = from.flags.load(std::memory_order_relaxed) & same;
  uint32_t since = g_runtime.is_attached ? ledger::kHeaderFlagAttached : ledger::kHeaderFlagForked;
  to.flags.fetch_or(kept | since, std::memory_order_relaxed);
  to.run = from.run;
  to.exe = from.exe;
  to.program = from.program;
  to.argv = from.argv;
  to.argv_count = from.argv_count;
  to.directory = from.directory;
  to.script = from.script;
  to.test = from.test;
  to.settings = from.settings;
  to.hook_names = from.hook_names;
  to.hook_count = from.hook_count;
  to.kinds_tracked = from.kinds_tracked;
  to.depth = from.depth;
  to.sample_bytes = from.sample_bytes;
  std::memcpy(to.coverage, from.coverage, sizeof to.coverage);
  std::memcpy(to.coverage_reason, from.coverage_reason, sizeof to.coverage_reason);
}

void reset_tables() {
  base::reset_own_memory_after_fork();
  reset_reports_after_fork();
  unwind::reset_unloading_after_fork();
  unwind::reset_walks_after_fork();
  track::reset_counters_after_fork();
  track::reset_sites_after_fork();
  track::reset_failures_after_fork();
  track::reset_levels_after_fork();
  track::restart_history();
  track::restart_tests();
  track::reset_misuse_after_fork();
  track::reset_modules_after_fork();
  track::g_heap_index.reset_lock_after_fork();
  if (g_runtime.is_attached)
    track::reset_all_states();
  else
    track::reset_states_after_fork();
  track::reset_threads_after_fork();
  track::reset_children_after_fork();
  track::reset_handles_after_fork();
  track::reset_mappings_after_fork();
  track::reset_rings_after_fork();
  g_tracker.has_unseen_past = true;
}

/// Puts a new ledger in place of `from`, which another process has, or another attachment had. False: there is no
/// memory.
bool start_new_ledger(const Writer& from) {
  static ledger::Header fresh;
  std::memset(static_cast<void*>(&fresh), 0, sizeof fresh);
  copy_sections(from.header(), fresh);
  copy_header(from.header(), fresh);
  return replace_ledger(g_runtime.place, g_runtime.pid, fresh, g_tracker.writer, g_runtime.ledger_path,
                        g_runtime.ledger_identity, g_runtime.why_private);
}

/// Everything begins anew in it, but for what the process has inherited.
void start_new_tables() {
  reset_sites();
  track::fd_keep_parents();
  reset_tables();
}

void finish_new_ledger() {
  g_tracker.writer.header().state.store(static_cast<uint32_t>(ledger::State::live), std::memory_order_release);
}

/// What a process that was attached to starts is not followed, and writes nothing to its ledger. (A signal that comes
/// before: runtime/signal.cpp.)
void leave_fork_child() {
  g_tracker.phase.store(track::Phase::forwarding, std::memory_order_release);
  grade::StoppedThreads::reset_after_fork();
  hook::reset_redirection_after_fork();
  base::reset_own_memory_after_fork();
  reset_reports_after_fork();
  unwind::reset_unloading_after_fork();
  unwind::reset_walks_after_fork();
  track::reset_modules_after_fork();
  track::give_report_signal_back();
}

}  // namespace

// As in a fork child, but the process has other threads, whose states are emptied, too, and its heap index is not
// empty.
bool begin_again() {
  g_runtime.pid = base::current_pid();
  if (track::g_heap_index.is_compact() || !track::g_heap_index.forget_all()) return false;
  const Writer before = g_tracker.writer;
  if (!start_new_ledger(before)) return false;
  start_new_tables();
  track::forget_remembered_stacks();
  track::g_fork_page.lock.store(0, std::memory_order_relaxed);
  track::g_fork_page.alive.store(1, std::memory_order_release);
  ledger::Header& header = g_tracker.writer.header();
  header.process_start_ticks = read_stat(0).start_ticks;
  header.settings = add_settings(g_tracker.writer);
  header.kinds_tracked = g_tracker.kinds = g_settings.kinds;
  header.depth = g_tracker.depth = g_settings.depth;
  describe_coverage(g_settings);
  allow_inheritable(g_settings);
  finish_new_ledger();
  return true;
}

void take_over_fork_child() {
  if (g_runtime.is_attached) return leave_fork_child();
  g_runtime.pid = base::current_pid();
  grade::StoppedThreads::reset_after_fork();
  track::footprint_unlocked();  // mlockall(2) is not inherited
  g_runtime.is_descendant = true;
  const Writer parent = g_tracker.writer;
  track::keep_parents_exec_leaks(parent);
  if (!start_new_ledger(parent)) {
    // This child goes on untracked, and must not write to its parent's ledger but to say so.
    parent.drop(ledger::Dropped::children_untracked);
    g_tracker.heap_use = track::HeapUse::none;
    g_tracker.phase.store(track::Phase::forwarding, std::memory_order_release);
    return;
  }
  base::watch_for_sandbox_in_fork_child();
  // The launcher cannot see this child's private ledger: the parent's ledger tells it.
  if (g_runtime.launcher_pid && !g_runtime.ledger_path[0]) track::drop_in_parent(ledger::Dropped::children_apart);
  track::enter_report_signal();
  track::reset_root_regions_after_fork();
  start_new_tables();
  track::fd_take_inherited();
  finish_new_ledger();
}

}  // namespace unfreed::runtime
