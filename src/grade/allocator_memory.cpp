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

/// An arena's bins: pairs of pointers, first and last chunk. An empty one points to itself, as if it were a chunk.
constexpr uintptr_t kBins = 127, kBinBytes = 2 * sizeof(uintptr_t), kBinsBytes = kBins * kBinBytes;
bool is_empty_bin(uintptr_t at) {
  return word_at(at) == at - kBinBytes && word_at(at + sizeof(uintptr_t)) == at - kBinBytes;
}

/// If the bins of an arena begin there: where the arena begins, and so its list of free chunks by size, its top, and
/// what was left of the chunk that it split last, whatever has become of that. 0: none do. The arenas are a ring, whose
/// pointers follow the bins and a bit for each of them.
uintptr_t arena_of_bins(const MemoryMap& map, uintptr_t bins) {
  constexpr uintptr_t kLeast = 16, kMost = 128, kMostArenas = 4096, kBitBytes = 16;
  uintptr_t next = word_at(bins + kBinsBytes + kBitBytes);
  for (uintptr_t before = kLeast; before <= kMost; before += sizeof(uintptr_t)) {
    uintptr_t arena = next, place = before + kBinsBytes + kBitBytes;
    for (uintptr_t passed = 0; passed < kMostArenas && arena != bins - before; ++passed) {
      const Mapping* mapping = arena % sizeof(uintptr_t) ? nullptr : map.find(arena);
      if (!mapping || !mapping->readable || mapping->high - arena < place + sizeof(uintptr_t)) break;
      arena = word_at(arena + place);
    }
    if (arena == bins - before) return arena;
  }
  return 0;
}

}  // namespace

void add_main_arena(const MemoryMap& map, const Mapping& libc, RangeList& out) {
  constexpr uintptr_t kBehind = 64;
  if (!libc.readable || !libc.writable || libc.high - libc.low < kBinsBytes + kBehind) return;
  const uintptr_t last = libc.high - kBinsBytes - kBehind;
  for (uintptr_t empty = libc.low + kBinBytes; empty <= libc.high - kBinBytes; empty += sizeof(uintptr_t)) {
    if (!is_empty_bin(empty)) continue;
    // The first that is empty, but not always the first of all.
    for (uintptr_t bins = empty; bins > libc.low && bins + kBinsBytes > empty; bins -= kBinBytes) {
      uintptr_t arena = bins <= last ? arena_of_bins(map, bins) : 0;
      if (arena) return out.add(arena, bins + kBinsBytes);
    }
    return;
  }
}

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
