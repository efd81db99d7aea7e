#include "hook/early_heap.h"

#include <cstring>

namespace unfreed::hook {

alignas(4096) constinit std::byte g_early_memory[kEarlyBytes] = {};

namespace {
constexpr size_t kHeader = 16;  ///< holds the size, just below the block
size_t g_used;
}  // namespace

bool g_early_heap_on;
void set_early_heap(bool on) { g_early_heap_on = on; }

void* early_allocate(size_t bytes, size_t alignment) {
  if (alignment < kHeader) alignment = kHeader;
  size_t start = (g_used + kHeader + alignment - 1) & ~(alignment - 1);
  if (start > kEarlyBytes || bytes > kEarlyBytes - start) return nullptr;
  g_used = start + bytes;
  std::memcpy(g_early_memory + start - sizeof(size_t), &bytes, sizeof bytes);
  return g_early_memory + start;
}

size_t early_size(const void* block) {
  size_t bytes;
  std::memcpy(&bytes, static_cast<const std::byte*>(block) - sizeof(size_t), sizeof bytes);
  return bytes;
}

}  // namespace unfreed::hook
