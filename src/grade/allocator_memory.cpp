#include "grade/allocator_memory.h"

#include <algorithm>

namespace unfreed::grade {

namespace {

constexpr uintptr_t kPage = 4096;
constexpr uintptr_t kHeapBytes = uintptr_t{64} << 20;

/// The beginning of glibc's struct _heap_info.
struct HeapHead {
  uintptr_t arena;
  uintptr_t previous;  ///< heap of the same arena
  size_t bytes;        ///< in use
  size_t writable_bytes;
};

bool is_heap_head(const HeapHead& head, uintptr_t at, const Mapping& mapping) {
  if (head.bytes == 0 || head.bytes % kPage || head.bytes > head.writable_bytes || head.writable_bytes > kHeapBytes)
    return false;
  if (at + head.bytes > mapping.high) return false;
  // An arena's own head lies in its first heap, right behind that one's.
  constexpr uintptr_t kMostHead = 256;
  if (head.previous == 0) return head.arena > at && head.arena - at <= kMostHead;
  return head.previous % kHeapBytes == 0 && head.arena % sizeof(uintptr_t) == 0 && head.arena % kHeapBytes <= kMostHead;
}

}  // namespace

void add_arenas(const Mapping& mapping, RangeList& out) {
  for (uintptr_t at = (mapping.low + kHeapBytes - 1) & ~(kHeapBytes - 1); at + sizeof(HeapHead) <= mapping.high;
       at += kHeapBytes) {
    const auto& head = *reinterpret_cast<const HeapHead*>(at);
    if (is_heap_head(head, at, mapping)) out.add(at, at + head.bytes);
  }
}

bool add_large_block(const Block& block, const Mapping& mapping, RangeList& out) {
  struct Chunk {
    size_t before;  ///< from the mapping's start
    size_t bytes;   ///< and bits below
  };
  constexpr size_t kHasMapping = 2, kBits = 7;
  if (block.start % sizeof(Chunk) || block.start - sizeof(Chunk) < mapping.low) return false;
  const auto& chunk = *reinterpret_cast<const Chunk*>(block.start - sizeof(Chunk));
  uintptr_t start = block.start - sizeof(Chunk) - chunk.before;
  uintptr_t end = block.start - sizeof(Chunk) + (chunk.bytes & ~kBits);
  if (!(chunk.bytes & kHasMapping) || start % kPage || end % kPage) return false;
  if (start < mapping.low || end > mapping.high || start >= block.start || end < block.start + block.bytes)
    return false;
  out.add(start, end);
  return true;
}

void add_surroundings(const Block& block, const Mapping& mapping, RangeList& out) {
  constexpr uintptr_t kUnit = uintptr_t{1} << 20;
  uintptr_t low = block.start & ~(kUnit - 1), high = (block.start + block.bytes + kUnit) & ~(kUnit - 1);
  out.add(std::max(low, mapping.low), std::min(high, mapping.high));
}

}  // namespace unfreed::grade
