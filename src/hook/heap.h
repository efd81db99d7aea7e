// Shared by the forms of free and operator delete that end in the real free.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "hook/real.h"
#include "track/heap.h"

namespace unfreed::hook {

/// Blocks passed to free(), as far as there is room.
struct FreedBlocks {
  std::atomic<uintptr_t>* blocks;
  size_t capacity;
  std::atomic<size_t> count;
  void add(void* block) {
    size_t at = count.fetch_add(1, std::memory_order_relaxed);
    if (at < capacity) blocks[at].store(reinterpret_cast<uintptr_t>(block), std::memory_order_relaxed);
  }
};

/// Set in a copy of the process that frees nothing: free() only notes the block there.
[[gnu::visibility("hidden")]] extern constinit FreedBlocks* g_only_noted;

/// The slow path. A function of its own, which the hook calls last: the hook itself then needs no registers saved.
void release_slowly(void* block);

/// free(block).
[[gnu::always_inline]] inline void release(void* block) {
  if (!block) [[unlikely]]
    return;
  if (!track::heap_released_simply(block)) [[unlikely]]
    return release_slowly(block);
  g_real.free(block);
}

/// From now on, when an allocation fails, the heap index is given up, and the call made once more
/// (track::give_up_heap_index). Called before the program's code runs, if the index can be given up.
void retry_failed_allocations();

}  // namespace unfreed::hook
