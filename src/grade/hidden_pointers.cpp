// HeapGraph's search for pointers in unusual form.
#include <algorithm>
#include <cstring>

#include "grade/heap_graph.h"

namespace unfreed::grade {

namespace {

constexpr size_t kWord = sizeof(uintptr_t), kHalf = kWord / 2;

using Halves = uint32_t __attribute__((vector_size(16)));

Halves load(const std::byte* place) {
  Halves halves;
  std::memcpy(&halves, place, sizeof halves);
  return halves;
}

bool is_any_set(const Halves& halves) {
  uint64_t words[2];
  std::memcpy(words, &halves, sizeof words);
  return (words[0] | words[1]) != 0;
}

}  // namespace

/// At an address that is no multiple of 8 without tags, as most of what lies there is no pointer.
void HeapGraph::try_hidden(const std::byte* place) {
  uintptr_t word;
  std::memcpy(&word, place, sizeof word);
  bool is_aligned = reinterpret_cast<uintptr_t>(place) % kWord == 0;
  if (is_aligned == (word <= kAddressMask)) return;
  uintptr_t address = word & kAddressMask;
  if (address - lowest_ >= span_) return;
  size_t page = index_.page_of(address);
  if (page == BlockIndex::kNoPage || !index_.is_any_unreached(page)) return;
  Block* block = find_around(address);
  if (!block || block->grade != Grade::unreached) return;
  // Of a thread or a stream, only pointers as such count.
  if (block->flags & (kBlockHandle | kBlockStream) && word != block->start) return;
  doubt(*block, ledger::RootKind::hidden);
}

/// `memory` is aligned. Sixteen places at a time are passed over if the higher half of none may be a pointer's: this
/// takes a third of a second a gigabyte.
void HeapGraph::find_hidden(const std::byte* memory, size_t bytes) {
  if (bytes < kWord) return;
  constexpr size_t kPlaces = sizeof(Halves);
  const auto lowest = static_cast<uint32_t>(lowest_ >> 32);
  const uint32_t most = static_cast<uint32_t>((lowest_ + span_ - 1) >> 32) - lowest;
  const std::byte* end = memory + bytes - kWord + 1;
  const std::byte* place = memory;
  for (; place + kPlaces + kHalf <= end; place += kPlaces) {
    // By which multiple of 4 they are away from `place`; that of 0 and 8 is for the tagged ones.
    Halves found = (load(place + kHalf) - lowest <= most) & Halves{0, UINT32_MAX, 0, UINT32_MAX};
    for (size_t shift = 1; shift < kHalf; ++shift) found |= load(place + kHalf + shift) - lowest <= most;
    if (is_any_set(found))
      for (size_t at = 0; at < kPlaces; ++at) try_hidden(place + at);
    else
      for (size_t at = 0; at < kPlaces; at += kWord) try_hidden(place + at);
  }
  for (; place < end; ++place) try_hidden(place);
}

void HeapGraph::reach_hidden() {
  if (!span_) return;
  looks_for_hidden_ = true;
  for (const Block& block : blocks()) {
    bool is_reached = block.grade == Grade::reachable || block.grade == Grade::possibly_lost;
    if (!is_reached || block.flags & kBlockHandle) continue;
    each_part(block, [this](const uintptr_t* words, size_t count) {
      find_hidden(reinterpret_cast<const std::byte*>(words), count * kWord);
    });
  }
  drain<Mode::possibly>();
  looks_for_hidden_ = false;
}

}  // namespace unfreed::grade
