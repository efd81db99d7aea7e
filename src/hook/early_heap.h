// Memory for allocations made while the real allocator is still being looked up (dlsym's own, for its error texts): a
// small static arena that never takes anything back. free, realloc and malloc_usable_size recognise its blocks for
// ever.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unfreed::hook {

inline constexpr size_t kEarlyBytes = 64 * 1024;
[[gnu::visibility("hidden")]] extern std::byte g_early_memory[kEarlyBytes];

/// While on, heap hooks serve from the arena.
void set_early_heap(bool on);
[[gnu::visibility("hidden")]] extern bool g_early_heap_on;
inline bool early_heap_is_on() { return g_early_heap_on; }

/// nullptr when the arena is full. 16-byte aligned, or more.
void* early_allocate(size_t bytes, size_t alignment = 16);
/// The size asked for.
size_t early_size(const void* block);

inline bool is_early(const void* block) {
  return reinterpret_cast<uintptr_t>(block) - reinterpret_cast<uintptr_t>(g_early_memory) < kEarlyBytes;
}

}  // namespace unfreed::hook
