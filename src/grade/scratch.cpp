#include "grade/scratch.h"

#include <iterator>

#include "base/syscall.h"

namespace unfreed::grade {

constinit Scratch* Scratch::g_first = nullptr;

void* Scratch::reserve(size_t bytes) {
  release();
  start_ = base::map_memory(bytes);
  if (!start_) return nullptr;
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
    held[count++] = {one->start_, one->bytes_};
  g_first = nullptr;
  for (size_t at = 0; at < count; ++at) base::unmap_memory(held[at].start, held[at].bytes);
}

void Scratch::release() {
  if (!start_) return;
  Scratch** link = &g_first;
  while (*link && *link != this) link = &(*link)->next_;
  if (*link) *link = next_;
  base::unmap_memory(start_, bytes_);
  start_ = nullptr;
}

}  // namespace unfreed::grade
