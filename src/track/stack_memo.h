// Recognises a stack that this thread has captured before, without walking it, if it is not on the thread's
// own stack: coroutines', alternate signal stacks. (For the thread's own see recent_stacks.h.)
//
// Such a stack may be gone the next time, so only words that a walk would read may be read. Slots are
// compared in the order of the walk, up to the first difference: by induction the words up to there are
// what the walk would have read, and if all have their values, its result would be the same.
//
// Stacks that start alike are kept as a radix tree: at the first slot that differs, its value selects the
// entry that continues from it, if such a stack has been seen. One (pc, sp) thus serves any number of callers, and
// common parts of stacks are compared, and stored, once.
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

  struct Searches {
    Search any_bp;
    Search of_bp;
  };

  /// The site of this very stack; 0 if it is not known, and `miss` says where the searches ended, one for stacks whose
  /// walk did not depend on from.bp, or only through the slot that holds it, and one for those that did.
  /// `has_slot_of_bp`: the walk's log has an initial_bp, which points to from.bp.
  uint32_t find(const unwind::Registers& from, uint32_t tag, bool has_slot_of_bp, Searches& miss) const {
    miss = {};
    uint32_t root = look_up(from.pc, from.sp, tag | (has_slot_of_bp ? kRoot : kRootWithoutSlot));
    if (uint32_t site = find_from(root, miss.any_bp)) return site;
    return find_from(look_up(from.pc ^ mixed(from.bp), from.sp, tag | kRootOfBp), miss.of_bp);
  }

  /// Adds the stack that `log` describes, from where the search for it ended, if that may be done.
  void remember(const unwind::Registers& from, uint32_t tag, const Searches& searches, uint32_t site,
                const unwind::SlotLog& log) {
    const Search& search = log.depends_on_bp ? searches.of_bp : searches.any_bp;
    if (!log.verifiable || log.overflowed || from.exact_pc || search.consumed > log.size) return;
    size_t count = log.size - search.consumed;
    if (entry_count_ + 1 >= kEntries >> fewer_bits_ || slot_count_ + count > kSlots >> fewer_bits_) {
      clear();
      return;
    }
    uint32_t number = ++entry_count_;
    Entry& entry = entries_[number];
    entry = search.parent
                ? Entry{search.parent, search.value, search.index, site, slot_count_, static_cast<uint32_t>(count), 0}
                : Entry{log.depends_on_bp ? from.pc ^ mixed(from.bp) : from.pc,
                        from.sp,
                        tag | (log.depends_on_bp ? kRootOfBp
                               : log.initial_bp  ? kRoot
                                                 : kRootWithoutSlot),
                        site,
                        slot_count_,
                        static_cast<uint32_t>(count),
                        0};
    for (size_t i = 0; i < count; ++i) slots_[slot_count_ + i] = log.slots[search.consumed + i];
    slot_count_ += static_cast<uint32_t>(count);
    uint32_t& bucket = buckets_[bucket_of(entry.key_a, entry.key_b, entry.key_c)];
    entry.next = bucket;
    bucket = number;
  }

  /// As RecentStacks::set_limit() and each_part_in_use().
  void set_limit(unsigned fewer_bits) { fewer_bits_ = fewer_bits; }
  template <class Visit>
  void each_part_in_use(unsigned fewer_bits, Visit visit) {
    visit(this, static_cast<size_t>(reinterpret_cast<std::byte*>(entries_) - reinterpret_cast<std::byte*>(this)) +
                    (sizeof entries_ >> fewer_bits));
    visit(slots_, sizeof slots_ >> fewer_bits);
  }

  void clear() {
    if (!entry_count_) return;  // untouched memory stays untouched
    for (uint32_t& bucket : buckets_) bucket = 0;
    entry_count_ = 0;
    slot_count_ = 0;
  }

 private:
  uint32_t find_from(uint32_t number, Search& miss) const {
    size_t consumed = 0;
    while (number) {
      const Entry& entry = entries_[number];
      const unwind::Slot* slots = slots_ + entry.first_slot;
      uint32_t same = 0;
      while (same < entry.slot_count && holds(slots[same])) ++same;
      if (same == entry.slot_count) return entry.site;
      uintptr_t value = *reinterpret_cast<const uintptr_t*>(slots[same].address);
      consumed += same + 1;
      miss = {number, same, value, consumed};
      number = look_up(number, value, same);
    }
    return 0;
  }

  static uint64_t mixed(uintptr_t bp) { return bp * 0x9e3779b97f4a7c15u; }

  static bool holds(const unwind::Slot& slot) {
    return *reinterpret_cast<const uintptr_t*>(slot.address) == slot.value;
  }

  static constexpr uint32_t kRoot = 1u << 31;
  static constexpr uint32_t kRootOfBp = kRoot | 1u << 30;
  static constexpr uint32_t kRootWithoutSlot = kRoot | 1u << 29;
  static constexpr uint32_t kEntries = 16384;
  static constexpr uint32_t kSlots = 65536;
  static constexpr uint32_t kBuckets = 4096;

  /// Reached under a key: roots under (pc, sp, tag), or (pc and bp, sp, tag), others under (parent, value at the slot
  /// that differs, its index).
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
  uint32_t fewer_bits_;
  uint32_t buckets_[kBuckets];
  Entry entries_[kEntries];
  unwind::Slot slots_[kSlots];
};

}  // namespace unfreed::track
