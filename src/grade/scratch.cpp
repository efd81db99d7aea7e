#include "grade/scratch.h"

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

void Scratch::release() {
  if (!start_) return;
  Scratch** link = &g_first;
  while (*link && *link != this) link = &(*link)->next_;
  if (*link) *link = next_;
  base::unmap_memory(start_, bytes_);
  start_ = nullptr;
}

}  // namespace unfreed::grade
