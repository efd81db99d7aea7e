#include "track/heap.h"

#include "track/failures.h"

namespace unfreed::track {

using ledger::Kind;

namespace {

bool owned_here(const Block& block) { return !block.ignored && block.epoch >= g_tracker.first_own_epoch; }

/// Counts a release on a thread's account where it has one that may be used.
void count_released(ThreadState* state, const Block& block) {
  if (!owned_here(block)) return;
  ledger::Cell* cell = state ? cell_of(*state, block.site) : nullptr;
  if (!cell) return count_released_shared(block.site, block.size_bytes);
  add_owned(cell->released, 1);
  add_owned(cell->released_bytes, block.size_bytes);
}
void count_released(const Block& block) {
  StateUse use;
  count_released(use.state(), block);
}

}  // namespace

void heap_acquired_slowly(void* block, size_t bytes, uint16_t door, uintptr_t pc, uintptr_t sp, uintptr_t bp) {
  unwind::Registers from{pc, sp, bp};
  if (t_local.heap_guard || !enter(Kind::heap)) return;
  if (!block) return heap_failed(bytes, door, from);
  if (t_local.pause_depth) return;
  {
    StateUse use;
    ThreadState* state = use.state();
    uint32_t site =
        state ? capture_with_state(*state, Kind::heap, door, from, true) : capture_site(Kind::heap, door, from);
    Block displaced;
    if (g_heap_index.take(reinterpret_cast<uintptr_t>(block), displaced)) count_released(state, displaced);
    if (!g_heap_index.put(reinterpret_cast<uintptr_t>(block),
                          {site, g_tracker.heap_epoch.load(std::memory_order_relaxed), false, bytes}))
      return g_tracker.writer.drop(ledger::Dropped::heap_index_full);
    ledger::Cell* cell = state ? cell_of(*state, site) : nullptr;
    if (cell) {
      add_owned(cell->acquired, 1);
      add_owned(cell->acquired_bytes, bytes);
    } else {
      count_acquired_shared(site, bytes);
    }
  }
  if (!t_local.active) refresh_active();
}

bool heap_released_elsewhere(uint32_t site, uint64_t bytes) {
  count_released({site, kLastEpoch, false, bytes});
  return true;
}

void heap_released_slowly(void* block) {
  // Releases are followed even while acquisitions are paused or guarded: the index must not keep what is gone.
  if (!enter(Kind::heap)) return;
  Block known;
  if (!g_heap_index.take(reinterpret_cast<uintptr_t>(block), known)) {
    if (!t_local.heap_guard) count_foreign_release(Kind::heap);
    return;
  }
  count_released(known);
}

Detached heap_detached(void* block) {
  Detached detached;
  if (block && enter(Kind::heap))
    detached.known = g_heap_index.take(reinterpret_cast<uintptr_t>(block), detached.block);
  return detached;
}

void heap_reattached(void* block, const Detached& detached) {
  if (detached.known) g_heap_index.put(reinterpret_cast<uintptr_t>(block), detached.block);
}

void heap_dropped(void* block, const Detached& detached) {
  if (detached.known)
    count_released(detached.block);
  else if (block && !t_local.heap_guard && enter(Kind::heap))
    count_foreign_release(Kind::heap);
}

bool heap_ignore(const void* address) {
  if (!address || !enter(Kind::heap)) return false;
  Block block;
  if (!g_heap_index.ignore(reinterpret_cast<uintptr_t>(address), block)) return false;
  count_released(block);  // owned_here: not if it was ignored before
  return true;
}

void heap_failed(size_t bytes, uint16_t door, const unwind::Registers& from) {
  // Absurd sizes are probes or bugs of their own, not exhaustion.
  if (bytes < size_t{1} << 46) note_failure(Kind::heap, door, 12 /* ENOMEM */, from);
}

int64_t heap_live_since(uint32_t epoch) {
  struct Count {
    uint32_t epoch;
    int64_t blocks;
  } count{epoch, 0};
  g_heap_index.each(&count, [](void* context, uintptr_t, const Block& block) {
    auto& sum = *static_cast<Count*>(context);
    if (owned_here(block) && block.epoch >= sum.epoch) ++sum.blocks;
  });
  return count.blocks;
}

}  // namespace unfreed::track
