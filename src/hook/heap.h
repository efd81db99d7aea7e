// Shared by the forms of free and operator delete that end in the real free.
#pragma once

#include "hook/real.h"
#include "track/heap.h"

namespace unfreed::hook {

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

}  // namespace unfreed::hook
