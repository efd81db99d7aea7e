#include "track/compact_index.h"

#include <algorithm>
#include <bit>

#include "base/address_space.h"
#include "base/syscall.h"

namespace unfreed::track {

namespace {
uint64_t home_of(uint64_t key) { return key * 0x9e3779b97f4a7c15u >> 32; }
}  // namespace

bool CompactIndex::prepare(unsigned grain_shift) {
  grain_shift_ = grain_shift;
  // As many slots as the process could have pieces of heap, and half as many again, within reason.
  constexpr size_t kFewest = 1024, kMost = size_t{1} << 20;
  size_t pieces = base::free_address_space() >> kLeafBits;
  size_t slots = std::bit_ceil(std::clamp(pieces + pieces / 2, kFewest, kMost));
  constexpr size_t kHeadBytes = 64;
  leaves_from_ = (kHeadBytes + slots * sizeof *slots_ + 4095) & ~size_t{4095};
  if (!memory_.prepare_zeroed_in_children(bytes_before_leaf(static_cast<uint32_t>(slots))) ||
      !memory_.grow_to(leaves_from_))
    return false;
  mask_ = slots - 1;
  slots_ = reinterpret_cast<std::atomic<uint64_t>*>(static_cast<std::byte*>(memory_.start()) + kHeadBytes);
  head_ = static_cast<Head*>(memory_.start());
  return true;
}

CompactIndex::Word* CompactIndex::find(uintptr_t address) const {
  uint64_t key = address >> kLeafBits;
  for (uint64_t at = home_of(key), tried = 0; tried <= mask_; ++at, ++tried) {
    uint64_t slot = slots_[at & mask_].load(std::memory_order_acquire);
    if (!slot) return nullptr;
    if (key_of(slot) == key) return word_in(slot, address);
  }
  return nullptr;
}

/// A slot's content with a leaf of its own; 0 when there is no memory.
uint64_t CompactIndex::make_leaf(uint64_t key) {
  uint32_t leaves = head_->leaves.load(std::memory_order_relaxed);
  do {
    if (leaves > mask_ || !memory_.grow_to(bytes_before_leaf(leaves + 1))) return 0;
  } while (!head_->leaves.compare_exchange_weak(leaves, leaves + 1, std::memory_order_relaxed));
  return key << kNumberBits | (leaves + 1);
}

CompactIndex::Word* CompactIndex::make(uintptr_t address) {
  uint64_t key = address >> kLeafBits, made = 0;
  if (key >> kNumberBits) return nullptr;
  for (uint64_t at = home_of(key), tried = 0; tried <= mask_; ++at, ++tried) {
    auto& place = slots_[at & mask_];
    uint64_t slot = place.load(std::memory_order_acquire);
    if (!slot) {
      if (!made && !(made = make_leaf(key))) return nullptr;
      if (place.compare_exchange_strong(slot, made, std::memory_order_acq_rel)) return word_in(made, address);
    }
    // Of two that come at once, the leaf of the second is left unused.
    if (key_of(slot) == key) return word_in(slot, address);
  }
  return nullptr;
}

bool CompactIndex::give_back() {
  if (!head_ || is_gone_.exchange(true, std::memory_order_seq_cst)) return false;
  // A thread in a Use needs a few instructions more; but it may be the caller, which a signal has interrupted there.
  constexpr int kPatience = 200;
  for (int i = 0; users_.load(std::memory_order_seq_cst); ++i) {
    if (i == kPatience) {
      is_gone_.store(false, std::memory_order_seq_cst);
      return false;
    }
    base::raw_syscall(SYS_sched_yield);
  }
  memory_.give_back();
  return true;
}

void CompactIndex::reset_after_fork() {
  users_.store(0, std::memory_order_relaxed);
  memory_.reset_lock_after_fork();
}

}  // namespace unfreed::track
