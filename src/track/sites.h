// Captures stacks and finds their sites in this process's ledger (ledger/interning.h). Lock-free.
//
// Code that hooks run on every call is [[gnu::hot]], here and elsewhere: this makes it contiguous in the library, as
// system calls evict most of it from the processor's caches.
#pragma once

#include <cstdint>
#include <span>

#include "ledger/layout.h"
#include "track/modules.h"
#include "track/thread_state.h"
#include "track/tracker.h"
#include "unwind/frame.h"
#include "unwind/walk.h"

namespace unfreed::track {

/// Allocates the tables. False: no memory.
bool prepare_sites();
void reset_sites_after_fork();

/// Has libc allocated blocks that may be its own or its caller's (ledger::kSiteWithinLibc)?
bool is_any_site_within_libc();

/// The innermost node of the stack (frames innermost first). Frames for which there is no room are left out (outer
/// ones), counted, and `truncated` is set.
uint32_t intern_stack(std::span<const unwind::Frame> frames, bool& truncated);

/// What threads key stacks by, besides their innermost (pc, sp): they belong to one kind and acquiring function.
constexpr uint32_t memo_tag(ledger::Kind kind, uint16_t hook) {
  return uint32_t{hook} << 8 | static_cast<uint32_t>(kind);
}

/// What is known of a stack at which the thread acquires again and again.
struct Recalled {
  uint32_t site;
  ledger::Cell* cell;  ///< the thread's counters for the site; null if adding 1 there is not enough
};

/// What is known of this very stack; false: it must be captured.
///
/// Does not mark the state as in use: a signal handler may use it between any two instructions here. What
/// is read of it is read before `version` is found unchanged. Not while a verb is using the
/// state (t_local.busy).
[[gnu::always_inline]] inline bool recall(const ThreadState& state, ledger::Kind kind, uint16_t hook,
                                          const unwind::Registers& from, Recalled& out) {
  if (state.generation != g_fork_page.generation.load(std::memory_order_relaxed)) [[unlikely]]
    return false;
  uint32_t version = state.recent.version();
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const RecentStacks::Leaf* leaf = state.recent.find(from.pc, from.sp, memo_tag(kind, hook));
  if (!leaf) [[unlikely]]
    return false;
  out = {leaf->site, leaf->cell};
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return state.recent.version() == version;
}

/// Captures the calling stack and returns its site, from what the thread remembers if possible.
/// Thread-safe, async-signal-safe; keeps errno.
[[gnu::hot]] uint32_t capture_site(ledger::Kind kind, uint16_t hook, const unwind::Registers& from);

/// The same with the thread's state in hand, marked as in use.
uint32_t recall_or_capture(ThreadState& state, ledger::Kind kind, uint16_t hook, const unwind::Registers& from);
/// The same where the state may not be used.
uint32_t capture_without_state(ledger::Kind kind, uint16_t hook, const unwind::Registers& from);

/// A signal handler may have jumped out of a verb that was using the thread's state: then releases the state
/// and forgets what it remembers. Called at the beginning of a verb, with its caller's registers.
void end_use_left_behind(const unwind::Registers& from);

/// Captures the calling stack only, as for something of that kind: its innermost node.
uint32_t capture_node(ledger::Kind kind, const unwind::Registers& from, bool& truncated);

}  // namespace unfreed::track
