// The heap's verbs: what a hook says has happened to a block. Policy (is it tracked, on whose account) is here, once.
// All are async-signal-safe, keep errno and allocate nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "track/counters.h"
#include "track/heap_index.h"
#include "track/sites.h"
#include "track/tracker.h"
#include "unwind/frame.h"

namespace unfreed::track {

/// The general path of heap_acquired: no state yet, guarded, paused, forked, at the thread's end …
void heap_acquired_slowly(void* block, size_t bytes, uint16_t door, const unwind::Registers& from);
void heap_released_slowly(void* block);
/// A door returned null.
void heap_failed(size_t bytes, uint16_t door, const unwind::Registers& from);

/// `block` (bytes as asked for) now belongs to the caller. Call after the real function; null is a failure, noted.
[[gnu::always_inline]] inline void heap_acquired(void* block, size_t bytes, uint16_t door,
                                                 const unwind::Registers& from) {
  ThreadState* state = t_local.active;
  if (!block || !state || !g_fork_page.alive.load(std::memory_order_relaxed)) [[unlikely]]
    return heap_acquired_slowly(block, bytes, door, from);
  // A signal handler that comes in between finds no state to use, and does without.
  t_local.active = nullptr;
  t_local.busy = 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  uint32_t site = capture_with_state(*state, ledger::Kind::heap, door, from);
  ledger::Cell* cell = cell_of(*state, site);
  bool counted = cell && g_heap_index.put(reinterpret_cast<uintptr_t>(block),
                                          {site, g_tracker.heap_epoch.load(std::memory_order_relaxed), false, bytes});
  if (counted) [[likely]] {
    add_owned(cell->acquired, 1);
    add_owned(cell->acquired_bytes, bytes);
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
  t_local.busy = 0;
  t_local.active = state;
  if (!counted) [[unlikely]]
    heap_acquired_slowly(block, bytes, door, from);
}

/// `block` is about to be given back. Call before the real function: the address may be handed out again at once.
[[gnu::always_inline]] inline void heap_released(void* block) {
  if (!block) return;
  ThreadState* state = t_local.active;
  if (!state || !g_fork_page.alive.load(std::memory_order_relaxed)) [[unlikely]]
    return heap_released_slowly(block);
  Block known;
  if (!g_heap_index.take(reinterpret_cast<uintptr_t>(block), known)) [[unlikely]]
    return count_foreign_release(ledger::Kind::heap);
  if (known.ignored || known.epoch < g_tracker.first_own_epoch) [[unlikely]]
    return;
  ledger::Cell* cell = cell_of(*state, known.site);
  if (!cell) [[unlikely]]
    return count_released_shared(known.site, known.size_bytes);
  add_owned(cell->released, 1);
  add_owned(cell->released_bytes, known.size_bytes);
}

/// A block on its way through realloc: taken out before the real call, and put back unchanged if that fails.
struct Detached {
  Block block;
  bool known = false;
};
Detached heap_detached(void* block);
void heap_reattached(void* block, const Detached& detached);
/// The realloc went through: the detached block is gone.
void heap_dropped(void* block, const Detached& detached);

/// The program asks that this block count for nothing. False: unknown.
bool heap_ignore(const void* block);

/// Live blocks born at `epoch` or later.
int64_t heap_live_since(uint32_t epoch);

}  // namespace unfreed::track
