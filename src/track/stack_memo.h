// Recognising a stack that this thread has captured before, without walking it.
//
// A walk is a chain of reads: registers → slot → next frame → slot … If a new capture starts from the same (pc, sp) and
// every stack word that the recorded walk read still holds its value, then by induction the walk would come out the
// same: a scan of independent loads instead of look-ups and pointer chasing. Slots are compared in the order of the
// walk and the scan stops at the first difference, so it reads only what the walk would have read.
//
// Stacks that begin alike are kept as a radix tree: at the first slot that differs, the value found there leads to the
// entry that goes on from it, if such a stack has been seen. One (pc, sp) thus serves any number of callers, and
// what stacks have in common is compared, and stored, once.
//
//     root (pc, sp, tag)  ─ slots 0 1 2 3 4 5 → site 17
//                                 └─ slot 2 = v ─ slots 3 4 → site 23
//                                                  └─ slot 3 = w ─ slots 4 5 6 → site 40
//
// One thread at a time; no memory but its own (it lies in zeroed memory, lazily backed).
#pragma once

#include <cstddef>
#include <cstdint>

#include "unwind/frame.h"

namespace unfreed::track {

class StackMemo {
 public:
  /// Where a search ended: with the site, or at the place from which the stack just walked goes on.
  struct Search {
    uint32_t site = 0;    ///< 0: not known
    uint32_t parent = 0;  ///< entry that was left; 0: there was no root
    uint32_t index = 0;   ///< slot of it that differed
    uintptr_t value = 0;  ///< what was found there
    size_t consumed = 0;  ///< slots of the stack up to and including that one
  };

  /// `initial_bp` must hold from.bp; it stands for the register where a walk's outcome depends on it.
  Search find(const unwind::Registers& from, uint32_t tag) const {
    Search search;
    uint32_t number = look_up(from.pc, from.sp, tag | kRoot);
    while (number) {
      const Entry& entry = entries_[number];
      const unwind::Slot* slots = slots_ + entry.first_slot;
      uint32_t i = 0;
      while (i < entry.slot_count && *reinterpret_cast<const uintptr_t*>(slots[i].address) == slots[i].value) ++i;
      if (i == entry.slot_count) {
        search.site = entry.site;
        return search;
      }
      search.parent = number;
      search.index = i;
      search.value = *reinterpret_cast<const uintptr_t*>(slots[i].address);
      search.consumed += i + 1;
      number = look_up(number, search.value, i);
    }
    return search;
  }

  /// Adds the stack that `log` describes, from where `search` ended.
  void remember(const unwind::Registers& from, uint32_t tag, const Search& search, uint32_t site,
                const unwind::SlotLog& log) {
    if (!log.verifiable || log.overflowed || from.exact_pc || search.consumed > log.size) return;
    size_t count = log.size - search.consumed;
    if (entry_count_ + 1 >= kEntries || slot_count_ + count > slot_limit_) return clear();
    uint32_t number = ++entry_count_;
    Entry& entry = entries_[number];
    entry = search.parent
                ? Entry{search.parent, search.value, search.index, site, slot_count_, static_cast<uint32_t>(count), 0}
                : Entry{from.pc, from.sp, tag | kRoot, site, slot_count_, static_cast<uint32_t>(count), 0};
    for (size_t i = 0; i < count; ++i) slots_[slot_count_ + i] = log.slots[search.consumed + i];
    slot_count_ += static_cast<uint32_t>(count);
    uint32_t& bucket = buckets_[bucket_of(entry.key_a, entry.key_b, entry.key_c)];
    entry.next = bucket;
    bucket = number;
  }

  void clear() {
    if (!entry_count_) return;  // untouched memory stays untouched
    for (uint32_t& bucket : buckets_) bucket = 0;
    entry_count_ = 0;
    slot_count_ = 0;
  }

  /// How much memory it may come to fill. Called before use; more threads, less each.
  void set_limit(bool small) { slot_limit_ = small ? kSlots / 8 : kSlots; }

  uint32_t generation = 0;  ///< of the code that the entries' pcs refer to (unwind::code_generation)

 private:
  static constexpr uint32_t kRoot = 1u << 31;
  static constexpr uint32_t kEntries = 16384;
  static constexpr uint32_t kSlots = 65536;
  static constexpr uint32_t kBuckets = 4096;

  /// Reached under a key: roots under (pc, sp, tag), others under (parent, value at the slot that differs, its index).
  struct Entry {
    uint64_t key_a;
    uint64_t key_b;
    uint32_t key_c;
    uint32_t site;
    uint32_t first_slot;
    uint32_t slot_count;
    uint32_t next;  ///< in the bucket
  };

  static size_t bucket_of(uint64_t a, uint64_t b, uint32_t c) {
    uint64_t hash = (a * 0x9e3779b97f4a7c15u ^ (b >> 3) * 0xd6e8feb86659fd93u) + c * 0xa0761d6478bd642fu;
    return hash >> 52;
  }
  static_assert(kBuckets == 1u << 12);

  uint32_t look_up(uint64_t a, uint64_t b, uint32_t c) const {
    for (uint32_t number = buckets_[bucket_of(a, b, c)]; number; number = entries_[number].next) {
      const Entry& entry = entries_[number];
      if (entry.key_a == a && entry.key_b == b && entry.key_c == c) return number;
    }
    return 0;
  }

  uint32_t entry_count_;
  uint32_t slot_count_;
  uint32_t slot_limit_;
  uint32_t buckets_[kBuckets];
  Entry entries_[kEntries];
  unwind::Slot slots_[kSlots];
};

}  // namespace unfreed::track
