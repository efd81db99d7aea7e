// malloc and its relatives. Order: a release is recorded before the real call, an acquisition after it.
#include "hook/heap.h"

#include <cerrno>

#include "hook/real.h"
#include "track/heap.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::hook_frame;

namespace {

/// `count` × `size`, or a size that no allocator grants.
size_t product(size_t count, size_t size) {
  size_t bytes;
  return __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes;
}

template <class Call>
[[gnu::always_inline]] inline void* reallocate(void* block, size_t bytes, Hook hook, unwind::HookFrame from,
                                               Call call) {
  if (track::heap_passed_over(block) && track::heap_passes_over(bytes)) return call();
  track::BlockMove move;
  track::Detached detached = track::heap_detached(block);
  void* result = call();
  if (!result && bytes > 0) {  // failed: the old block is as it was
    track::heap_reattached(block, detached);
    track::heap_acquired(nullptr, bytes, hook_number(hook), from);
    return nullptr;
  }
  track::heap_dropped(block, detached);  // moved, or (bytes = 0, null) freed
  if (result) track::heap_acquired(result, bytes, hook_number(hook), from);
  return result;
}

/// Out of line: what is passed over in a sampled heap then needs no registers saved, nor a frame. The hook ends with a
/// jump to it, so that its caller is the program's, as the hook's was.
[[gnu::noinline]] void* allocate(size_t bytes) {
  void* block = g_real.malloc(bytes);
  track::heap_acquired(block, bytes, hook_number(Hook::malloc), hook_frame());
  return block;
}

void release_by_any_name(void* block) {
  if (hook::g_foreign_heap.free) return hook::g_foreign_heap.free(block);
  hook::release(block);
}

}  // namespace

constinit unfreed::hook::FreedBlocks* unfreed::hook::g_only_noted = nullptr;

void unfreed::hook::release_slowly(void* block) {
  if (g_only_noted) [[unlikely]]
    return g_only_noted->add(block);
  if (!track::heap_passed_over(block)) track::heap_released_slowly(block);
  g_real.free(block);
}

UNFREED_HOOK void* malloc(size_t bytes) noexcept {
  return track::heap_passes_over(bytes) ? g_real.malloc(bytes) : allocate(bytes);
}

UNFREED_HOOK void* calloc(size_t count, size_t size) noexcept {
  if (track::heap_passes_over(product(count, size))) [[unlikely]]
    return g_real.calloc(count, size);
  void* block = g_real.calloc(count, size);
  track::heap_acquired(block, product(count, size), hook_number(Hook::calloc), hook_frame());
  return block;
}

UNFREED_HOOK void* realloc(void* block, size_t bytes) noexcept {
  return reallocate(block, bytes, Hook::realloc, hook_frame(), [&] { return g_real.realloc(block, bytes); });
}

// libc's own calls realloc where hooks see it: the block would be counted twice.
UNFREED_HOOK void* reallocarray(void* block, size_t count, size_t size) noexcept {
  size_t bytes = product(count, size);
  auto real = hook::g_foreign_heap.realloc ? hook::g_foreign_heap.realloc : g_real.realloc;
  return reallocate(block, bytes, Hook::reallocarray, hook_frame(), [&]() -> void* {
    if (bytes != SIZE_MAX) return real(block, bytes);
    errno = ENOMEM;
    return nullptr;
  });
}

UNFREED_HOOK void free(void* block) noexcept { hook::release(block); }

// C23 says of the sized forms that they are free(block): every allocator's free takes them.
UNFREED_HOOK void cfree(void* block) noexcept { release_by_any_name(block); }
UNFREED_HOOK void free_sized(void* block, size_t) noexcept { release_by_any_name(block); }
UNFREED_HOOK void free_aligned_sized(void* block, size_t, size_t) noexcept { release_by_any_name(block); }

UNFREED_HOOK void* memalign(size_t alignment, size_t bytes) noexcept {
  void* block = g_real.memalign(alignment, bytes);
  track::heap_acquired(block, bytes, hook_number(Hook::memalign), hook_frame());
  return block;
}

UNFREED_HOOK void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  void* block = g_real.aligned_alloc(alignment, bytes);
  track::heap_acquired(block, bytes, hook_number(Hook::aligned_alloc), hook_frame());
  return block;
}

UNFREED_HOOK int posix_memalign(void** out, size_t alignment, size_t bytes) noexcept {
  int error = g_real.posix_memalign(out, alignment, bytes);
  if (!error)
    track::heap_acquired(*out, bytes, hook_number(Hook::posix_memalign), hook_frame());
  else if (error == ENOMEM)
    track::heap_acquired(nullptr, bytes, hook_number(Hook::posix_memalign), hook_frame());
  return error;
}

UNFREED_HOOK void* valloc(size_t bytes) noexcept {
  void* block = g_real.valloc(bytes);
  track::heap_acquired(block, bytes, hook_number(Hook::valloc), hook_frame());
  return block;
}

UNFREED_HOOK void* pvalloc(size_t bytes) noexcept {
  void* block = g_real.pvalloc(bytes);
  track::heap_acquired(block, bytes, hook_number(Hook::pvalloc), hook_frame());
  return block;
}

// glibc's own names for its allocator. Another malloc calls them for the blocks that it gives out itself: these are
// recorded. Hence only for other callers.
#define IS_FOR_OTHERS() \
  (!hook::is_in_other_malloc(reinterpret_cast<uintptr_t>(__builtin_extract_return_addr(__builtin_return_address(0)))))

UNFREED_HOOK void* __libc_malloc(size_t bytes) noexcept {
  void* block = g_real.__libc_malloc(bytes);
  if (IS_FOR_OTHERS()) track::heap_acquired(block, bytes, hook_number(Hook::__libc_malloc), hook_frame());
  return block;
}

UNFREED_HOOK void* __libc_calloc(size_t count, size_t size) noexcept {
  void* block = g_real.__libc_calloc(count, size);
  if (IS_FOR_OTHERS())
    track::heap_acquired(block, product(count, size), hook_number(Hook::__libc_calloc), hook_frame());
  return block;
}

UNFREED_HOOK void* __libc_realloc(void* block, size_t bytes) noexcept {
  if (!IS_FOR_OTHERS()) return g_real.__libc_realloc(block, bytes);
  return reallocate(block, bytes, Hook::__libc_realloc, hook_frame(),
                    [&] { return g_real.__libc_realloc(block, bytes); });
}

UNFREED_HOOK void* __libc_memalign(size_t alignment, size_t bytes) noexcept {
  void* block = g_real.__libc_memalign(alignment, bytes);
  if (IS_FOR_OTHERS()) track::heap_acquired(block, bytes, hook_number(Hook::__libc_memalign), hook_frame());
  return block;
}

UNFREED_HOOK void* __libc_valloc(size_t bytes) noexcept {
  void* block = g_real.__libc_valloc(bytes);
  if (IS_FOR_OTHERS()) track::heap_acquired(block, bytes, hook_number(Hook::__libc_valloc), hook_frame());
  return block;
}

UNFREED_HOOK void* __libc_pvalloc(size_t bytes) noexcept {
  void* block = g_real.__libc_pvalloc(bytes);
  if (IS_FOR_OTHERS()) track::heap_acquired(block, bytes, hook_number(Hook::__libc_pvalloc), hook_frame());
  return block;
}

UNFREED_HOOK void __libc_free(void* block) noexcept {
  if (IS_FOR_OTHERS()) track::heap_released(block);
  g_real.__libc_free(block);
}
