// What the forms of free and operator delete that come down to the real free have in common.
#pragma once

#include "hook/real.h"
#include "track/heap.h"

namespace unfreed::hook {

/// What is not that simple. A function of its own, with which the hook ends: the hook itself needs no registers saved.
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
