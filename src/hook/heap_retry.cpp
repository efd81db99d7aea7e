// For processes with little address space: if an allocation fails, the heap index is freed and the allocation retried.
// These wrappers sit between the hooks and the real functions, in such processes only.
#include <cerrno>

#include "hook/heap.h"
#include "hook/real.h"
#include "track/heap.h"

using namespace unfreed;

namespace {

struct {
  decltype(&::malloc) malloc;
  decltype(&::calloc) calloc;
  decltype(&::realloc) realloc;
  decltype(&::memalign) memalign;
  decltype(&::aligned_alloc) aligned_alloc;
  decltype(&::posix_memalign) posix_memalign;
  decltype(&::valloc) valloc;
  decltype(&::pvalloc) pvalloc;
} g_allocator;

template <class Call>
void* retried(size_t bytes, Call call) {
  void* block = call();
  return block || !track::give_up_heap_index(bytes) ? block : call();
}

void* retried_malloc(size_t bytes) noexcept {
  return retried(bytes, [=] { return g_allocator.malloc(bytes); });
}
void* retried_calloc(size_t count, size_t size) noexcept {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;
  return retried(bytes, [=] { return g_allocator.calloc(count, size); });
}
void* retried_realloc(void* block, size_t bytes) noexcept {
  if (!bytes) return g_allocator.realloc(block, 0);  // which frees the block, and returns null
  return retried(bytes, [=] { return g_allocator.realloc(block, bytes); });
}
void* retried_memalign(size_t alignment, size_t bytes) noexcept {
  return retried(bytes, [=] { return g_allocator.memalign(alignment, bytes); });
}
void* retried_aligned_alloc(size_t alignment, size_t bytes) noexcept {
  return retried(bytes, [=] { return g_allocator.aligned_alloc(alignment, bytes); });
}
int retried_posix_memalign(void** out, size_t alignment, size_t bytes) noexcept {
  int error = g_allocator.posix_memalign(out, alignment, bytes);
  bool retries = error == ENOMEM && track::give_up_heap_index(bytes);
  return retries ? g_allocator.posix_memalign(out, alignment, bytes) : error;
}
void* retried_valloc(size_t bytes) noexcept {
  return retried(bytes, [=] { return g_allocator.valloc(bytes); });
}
void* retried_pvalloc(size_t bytes) noexcept {
  return retried(bytes, [=] { return g_allocator.pvalloc(bytes); });
}

template <class Function, class Retried>
void insert(Function*& below, Function*& real, Retried* retried) {
  below = real;
  if (real) real = retried;
}

}  // namespace

void unfreed::hook::retry_failed_allocations() {
  insert(g_allocator.malloc, g_real.malloc, retried_malloc);
  insert(g_allocator.calloc, g_real.calloc, retried_calloc);
  insert(g_allocator.realloc, g_real.realloc, retried_realloc);
  insert(g_allocator.memalign, g_real.memalign, retried_memalign);
  insert(g_allocator.aligned_alloc, g_real.aligned_alloc, retried_aligned_alloc);
  insert(g_allocator.posix_memalign, g_real.posix_memalign, retried_posix_memalign);
  insert(g_allocator.valloc, g_real.valloc, retried_valloc);
  insert(g_allocator.pvalloc, g_real.pvalloc, retried_pvalloc);
}
