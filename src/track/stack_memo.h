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
  /// Where a search ended that did not find its stack: the place from which that stack goes on.
  struct Search {
    uint32_t parent = 0;  ///< entry that was left; 0: there was no root
    uint32_t index = 0;   ///< slot of it that differed
    uintptr_t value = 0;  ///< what was found there
    size_t consumed = 0;  ///< slots of the stack up to and including that one
  };

  /// The number of the entry for this very stack; 0 if it is not known, and `miss` says where the search ended.
  /// `own_stack`: from.sp lies on the thread's own stack, all of which may be read at any time; then slots are compared
  /// in groups. On any other they are read one by one, as the walk would.
  /// The word that a log's initial_bp pointed to must hold from.bp.
  uint32_t find(const unwind::Registers& from, uint32_t tag, bool own_stack, Search& miss) const {
    uint32_t number = look_up(from.pc, from.sp, tag | kRoot);
    if (!number) [[unlikely]]
      return 0;
    const Entry& root = entries_[number];
    const unwind::Slot* first = slots_ + root.first_slot;
    const unwind::Slot* end = first + root.slot_count;
    const unwind::Slot* different = first_different(first, end, own_stack);
    if (different == end) [[likely]]
      return number;
    return follow(number, static_cast<uint32_t>(different - first), own_stack, miss);
  }

  uint32_t site_of(uint32_t number) const { return entries_[number].site; }
  /// A word kept with the entry for whoever uses the memo; 0 at first.
  uint32_t& mark_of(uint32_t number) { return entries_[number].mark; }

  /// The whole stack of an entry, as the walk logged it. `log` overflows if it has too little room.
  void expand(uint32_t number, unwind::SlotLog& log) const {
    size_t total = entries_[number].slot_count;
    for (const Entry* entry = &entries_[number]; !(entry->key_c & kRoot); entry = &entries_[entry->key_a])
      total += entry->key_c + 1;
    log.overflowed = total > log.capacity;
    if (log.overflowed) return;
    log.size = total;
    const Entry* entry = &entries_[number];
    size_t end = total - entry->slot_count;
    for (size_t i = 0; i < entry->slot_count; ++i) log.slots[end + i] = slots_[entry->first_slot + i];
    while (!(entry->key_c & kRoot)) {
      // Its parent's slots up to the one that differed, which held key_b.
      const Entry& parent = entries_[entry->key_a];
      size_t start = end - entry->key_c - 1;
      for (size_t i = 0; i <= entry->key_c; ++i) log.slots[start + i] = slots_[parent.first_slot + i];
      log.slots[end - 1].value = entry->key_b;
      entry = &parent;
      end = start;
    }
  }

  /// Adds the stack that `log` describes, from where the search for it ended. Its entry's number; 0: not kept.
  uint32_t remember(const unwind::Registers& from, uint32_t tag, const Search& search, uint32_t site,
                    const unwind::SlotLog& log) {
    if (!log.verifiable || log.overflowed || from.exact_pc || search.consumed > log.size) return 0;
    size_t count = log.size - search.consumed;
    if (entry_count_ + 1 >= kEntries || slot_count_ + count > slot_limit_) {
      clear();
      return 0;
    }
    uint32_t number = ++entry_count_;
    Entry& entry = entries_[number];
    entry =
        search.parent
            ? Entry{search.parent, search.value, search.index, site, slot_count_, static_cast<uint32_t>(count), 0, 0}
            : Entry{from.pc, from.sp, tag | kRoot, site, slot_count_, static_cast<uint32_t>(count), 0, 0};
    for (size_t i = 0; i < count; ++i) slots_[slot_count_ + i] = log.slots[search.consumed + i];
    slot_count_ += static_cast<uint32_t>(count);
    uint32_t& bucket = buckets_[bucket_of(entry.key_a, entry.key_b, entry.key_c)];
    entry.next = bucket;
    bucket = number;
    return number;
  }

  void clear() {
    if (!entry_count_) return;  // untouched memory stays untouched
    for (uint32_t& bucket : buckets_) bucket = 0;
    entry_count_ = 0;
    slot_count_ = 0;
  }

  /// How much memory it may come to fill. Called before use; more threads, less each.
  void set_limit(bool small) { slot_limit_ = small ? kSlots / 8 : kSlots; }

 private:
  static bool holds(const unwind::Slot& slot) {
    return *reinterpret_cast<const uintptr_t*>(slot.address) == slot.value;
  }

  /// The first slot that is not as it was, or `end`.
  static const unwind::Slot* first_different(const unwind::Slot* slot, const unwind::Slot* end, bool own_stack) {
    constexpr ptrdiff_t kGroup = 8;
    for (; own_stack && end - slot >= kGroup; slot += kGroup) {
      uintptr_t difference = 0;
#pragma GCC unroll 8
      for (ptrdiff_t k = 0; k < kGroup; ++k)
        difference |= *reinterpret_cast<const uintptr_t*>(slot[k].address) ^ slot[k].value;
      if (difference) break;
    }
    while (slot != end && holds(*slot)) ++slot;
    return slot;
  }

  /// From slot `i` of entry `number`, which differs, along the entries that go on from there.
  [[gnu::noinline]] uint32_t follow(uint32_t number, uint32_t i, bool own_stack, Search& miss) const {
    size_t consumed = 0;
    for (;;) {
      uintptr_t value = *reinterpret_cast<const uintptr_t*>(slots_[entries_[number].first_slot + i].address);
      consumed += i + 1;
      uint32_t next = look_up(number, value, i);
      if (!next) {
        miss = {number, i, value, consumed};
        return 0;
      }
      const Entry& entry = entries_[next];
      const unwind::Slot* first = slots_ + entry.first_slot;
      const unwind::Slot* end = first + entry.slot_count;
      const unwind::Slot* different = first_different(first, end, own_stack);
      if (different == end) return next;
      number = next;
      i = static_cast<uint32_t>(different - first);
    }
  }

  static constexpr uint32_t kRoot = 1u << 31;
  static constexpr uint32_t kEntries = 65536;
  static constexpr uint32_t kSlots = 131072;
  static constexpr uint32_t kBuckets = 16384;

  /// Reached under a key: roots under (pc, sp, tag), others under (parent, value at the slot that differs, its index).
  struct Entry {
    uint64_t key_a;
    uint64_t key_b;
    uint32_t key_c;
    uint32_t site;
    uint32_t first_slot;
    uint32_t slot_count;
    uint32_t next;  ///< in the bucket
    uint32_t mark;
  };

  static size_t bucket_of(uint64_t a, uint64_t b, uint32_t c) {
    uint64_t hash = (a * 0x9e3779b97f4a7c15u ^ (b >> 3) * 0xd6e8feb86659fd93u) + c * 0xa0761d6478bd642fu;
    return hash >> 50;
  }
  static_assert(kBuckets == 1u << 14);

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
