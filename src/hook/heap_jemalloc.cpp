// jemalloc's own functions: malloc with flags.
#include "hook/real.h"
#include "track/heap.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::hook_frame;

UNFREED_HOOK void* mallocx(size_t bytes, int flags) {
  void* block = g_real.mallocx(bytes, flags);
  track::heap_acquired(block, bytes, hook_number(Hook::mallocx), hook_frame());
  return block;
}

UNFREED_HOOK void* rallocx(void* block, size_t bytes, int flags) {
  track::BlockMove move;
  track::Detached detached = track::heap_detached(block);
  void* result = g_real.rallocx(block, bytes, flags);
  if (result)
    track::heap_dropped(block, detached);
  else
    track::heap_reattached(block, detached);
  track::heap_acquired(result, bytes, hook_number(Hook::rallocx), hook_frame());
  return result;
}

/// Resizes in place as far as it can and returns the size that the block then has.
UNFREED_HOOK size_t xallocx(void* block, size_t bytes, size_t extra, int flags) {
  track::BlockMove move;
  track::Detached detached = track::heap_detached(block);
  size_t result = g_real.xallocx(block, bytes, extra, flags);
  if (result < bytes) {
    track::heap_reattached(block, detached);
    return result;
  }
  track::heap_dropped(block, detached);
  track::heap_acquired(block, bytes, hook_number(Hook::xallocx), hook_frame());
  return result;
}

UNFREED_HOOK void dallocx(void* block, int flags) {
  track::heap_released(block);
  g_real.dallocx(block, flags);
}
UNFREED_HOOK void sdallocx(void* block, size_t bytes, int flags) {
  track::heap_released(block);
  g_real.sdallocx(block, bytes, flags);
}
