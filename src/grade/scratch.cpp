#include "grade/scratch.h"

#include <iterator>

#include "base/syscall.h"

namespace unfreed::grade {

constinit Scratch* Scratch::g_first = nullptr;

constinit uintptr_t Scratch::g_shared = 0;
constinit size_t Scratch::g_shared_used = 0;

/// What is given back there is not given out again, as it may be no longer zero.
void* Scratch::take_shared(size_t bytes) {
  constexpr size_t kPage = 4096;
  bytes = (bytes + kPage - 1) & ~(kPage - 1);
  if (!g_shared) {
    g_shared = reinterpret_cast<uintptr_t>(base::map_memory(kSharedBytes));
    g_shared_used = 0;
  }
  if (!g_shared || bytes > kSharedBytes - g_shared_used) return nullptr;
  g_shared_used += bytes;
  return reinterpret_cast<void*>(g_shared + g_shared_used - bytes);
}

void Scratch::release_shared() {
  if (g_shared) base::unmap_memory(reinterpret_cast<void*>(g_shared), kSharedBytes);
  g_shared = 0;
}

void* Scratch::reserve(size_t bytes) {
  release();
  void* start = take_shared(bytes);
  is_shared_ = start;
  return keep(start ? start : base::map_memory(bytes), bytes);
}

void* Scratch::reserve_huge(size_t bytes) {
  release();
  void* start = base::map_memory(bytes);
  is_shared_ = false;
  if (start) base::prefer_huge_pages(start, bytes);
  return keep(start, bytes);
}

void* Scratch::keep(void* start, size_t bytes) {
  if (!start) return nullptr;
  start_ = start;
  bytes_ = bytes;
  next_ = g_first;
  g_first = this;
  return start_;
}

void Scratch::release_all() {
  // They themselves may lie in memory that comes later in the list.
  struct Held {
    void* start;
    size_t bytes;
  } held[64];
  size_t count = 0;
  for (Scratch* one = g_first; one && count < std::size(held); one = one->next_)
    if (!one->is_shared_) held[count++] = {one->start_, one->bytes_};
  g_first = nullptr;
  for (size_t at = 0; at < count; ++at) base::unmap_memory(held[at].start, held[at].bytes);
  release_shared();
}

void Scratch::release() {
  if (!start_) return;
  Scratch** link = &g_first;
  while (*link && *link != this) link = &(*link)->next_;
  if (*link) *link = next_;
  if (!is_shared_) base::unmap_memory(start_, bytes_);
  start_ = nullptr;
  if (!g_first) release_shared();
}

}  // namespace unfreed::grade
