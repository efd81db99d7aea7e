// jemalloc's own functions: malloc with flags. A program that asks whether they are there (a weak reference, dlsym)
// finds these, jemalloc or not, so without jemalloc they work on the malloc that there is.
#include <cstring>

#include "hook/real.h"
#include "track/heap.h"

using namespace unfreed;
using hook::Door;
using hook::door;
using hook::g_real;
using unwind::hook_frame;

namespace {

constexpr int kAlignmentMask = 0x3f;  ///< MALLOCX_LG_ALIGN: the alignment's logarithm
constexpr int kZero = 0x40;           ///< MALLOCX_ZERO

void* plain_mallocx(size_t bytes, int flags) {
  size_t alignment = size_t{1} << (flags & kAlignmentMask);
  if (alignment <= alignof(std::max_align_t)) return flags & kZero ? g_real.calloc(1, bytes) : g_real.malloc(bytes);
  void* block = g_real.memalign(alignment, bytes);
  if (block && flags & kZero) std::memset(block, 0, bytes);
  return block;
}

void* plain_rallocx(void* block, size_t bytes, int flags) {
  size_t old_bytes = g_real.malloc_usable_size(block);
  void* moved = plain_mallocx(bytes, flags);
  if (!moved) return nullptr;
  std::memcpy(moved, block, old_bytes < bytes ? old_bytes : bytes);
  g_real.free(block);
  return moved;
}

void release(void* block, int flags) {
  if (hook::real_exists(Door::dallocx)) return g_real.dallocx(block, flags);
  g_real.free(block);
}

}  // namespace

UNFREED_HOOK void* mallocx(size_t bytes, int flags) {
  void* block = hook::real_exists(Door::mallocx) ? g_real.mallocx(bytes, flags) : plain_mallocx(bytes, flags);
  track::heap_acquired(block, bytes, door(Door::mallocx), hook_frame());
  return block;
}

UNFREED_HOOK void* rallocx(void* block, size_t bytes, int flags) {
  track::Detached detached = track::heap_detached(block);
  void* result =
      hook::real_exists(Door::rallocx) ? g_real.rallocx(block, bytes, flags) : plain_rallocx(block, bytes, flags);
  if (result)
    track::heap_dropped(block, detached);
  else
    track::heap_reattached(block, detached);
  track::heap_acquired(result, bytes, door(Door::rallocx), hook_frame());
  return result;
}

/// Resizes in place as far as it can and returns the size that the block then has.
UNFREED_HOOK size_t xallocx(void* block, size_t bytes, size_t extra, int flags) {
  if (!hook::real_exists(Door::xallocx)) return g_real.malloc_usable_size(block);
  track::Detached detached = track::heap_detached(block);
  size_t result = g_real.xallocx(block, bytes, extra, flags);
  if (result < bytes) {
    track::heap_reattached(block, detached);
    return result;
  }
  track::heap_dropped(block, detached);
  track::heap_acquired(block, bytes, door(Door::xallocx), hook_frame());
  return result;
}

UNFREED_HOOK void dallocx(void* block, int flags) {
  track::heap_released(block);
  release(block, flags);
}
UNFREED_HOOK void sdallocx(void* block, size_t bytes, int flags) {
  track::heap_released(block);
  if (hook::real_exists(Door::sdallocx)) return g_real.sdallocx(block, bytes, flags);
  release(block, flags);
}
