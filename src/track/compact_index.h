// The heap index of a process whose address space is short: the same word for each block as in heap_index.h, but found
// through a hash table of small leaves, so it takes a quarter of the size of the heap in use, not of the regions that
// the heap lies in. It is slower. It can be freed when an allocation of the program would otherwise fail for lack of
// address space.
//
//     slots:  hash(address / 64 KiB) ─▶ key │ leaf ─▶ leaf:  a word for each grain of those 64 KiB
//
// Lock-free and async-signal-safe. A fork child finds all of it zeroed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/own_memory.h"

namespace unfreed::track {

class CompactIndex {
 public:
  using Word = std::atomic<uint64_t>;

  /// False: no memory.
  bool prepare(unsigned grain_shift);
  /// Has it been prepared?
  bool is_in_use() const { return head_; }

  /// While it lives, the index is not given back; false where it has been.
  class Use {
   public:
    explicit Use(const CompactIndex& index) : index_(index.is_in_use() ? &index : nullptr) {
      if (index_) [[unlikely]]
        index_->users_.fetch_add(1, std::memory_order_seq_cst);
    }
    ~Use() {
      if (index_) [[unlikely]]
        index_->users_.fetch_sub(1, std::memory_order_release);
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    explicit operator bool() const { return !index_ || !index_->is_gone_.load(std::memory_order_seq_cst); }

   private:
    const CompactIndex* index_;
  };

  /// The block's word; nullptr where none has been made. In a Use.
  Word* find(uintptr_t address) const;
  /// The same, made if need be; nullptr when there is no memory. In a Use.
  Word* make(uintptr_t address);

  /// Calls `visit(address, value)` for every word that is not 0, in no order.
  template <class Visit>
  void each(Visit visit) const {
    Use use(*this);
    if (!use) return;
    for (size_t at = 0; at <= mask_; ++at) {
      uint64_t slot = slots_[at].load(std::memory_order_acquire);
      const Word* words = slot ? leaf(slot) : nullptr;
      for (size_t i = 0; words && i < words_of_leaf(); ++i)
        if (uint64_t value = words[i].load(std::memory_order_relaxed))
          visit(key_of(slot) << kLeafBits | i << grain_shift_, value);
    }
  }

  /// Unmaps all of it, for good. False: it has been already, or is in use just now and will not let go.
  bool give_back();
  void reset_after_fork();

 private:
  static constexpr unsigned kLeafBits = 16;
  static constexpr unsigned kNumberBits = 32;

  /// Zeroed in a fork child, like the slots and leaves behind it.
  struct Head {
    std::atomic<uint32_t> leaves;  ///< handed out
  };

  static uint64_t key_of(uint64_t slot) { return slot >> kNumberBits; }
  size_t words_of_leaf() const { return size_t{1} << (kLeafBits - grain_shift_); }
  /// Of all before leaf `number`, counted from 0.
  size_t bytes_before_leaf(uint32_t number) const {
    return leaves_from_ + size_t{number} * words_of_leaf() * sizeof(Word);
  }
  /// Numbers count from 1.
  Word* leaf(uint64_t slot) const {
    auto number = static_cast<uint32_t>(slot);
    return reinterpret_cast<Word*>(static_cast<std::byte*>(memory_.start()) + bytes_before_leaf(number - 1));
  }
  Word* word_in(uint64_t slot, uintptr_t address) const {
    return leaf(slot) + ((address & ((uintptr_t{1} << kLeafBits) - 1)) >> grain_shift_);
  }
  uint64_t make_leaf(uint64_t key);

  base::GrowingMemory memory_;
  Head* head_ = nullptr;
  std::atomic<uint64_t>* slots_ = nullptr;
  size_t mask_ = 0;
  size_t leaves_from_ = 0;
  unsigned grain_shift_ = 5;
  mutable std::atomic<uint32_t> users_{0};
  std::atomic<bool> is_gone_{false};
};

}  // namespace unfreed::track
