// The stacks that a thread takes blocks at over and over, each with everything that counting one more block there
// needs: what is looked at before the memo (stack_memo.h), and answers in a few dozen instructions.
//
// Entries are reached by the innermost (pc, sp), directly mapped. Where stacks that begin alike go on differently, the
// entry found there only says which words of the stack tell them apart (its discriminators); a hash over those leads to
// the entry proper. Whatever is found that way is then compared word by word with what the walk had read (slots), so a
// bad guess costs time and nothing else. All of it concerns the thread's own stack, which may be read at any time.
//
//     roots: (pc, sp) ─ no discriminators ── slots, site, cell
//                     └ words at sp+40, sp+88 ── hash ── leaves: slots, site, cell
//
// Slots lie in groups of four, a cache line each: four addresses, four values. The last group is filled up with
// repetitions. One thread at a time, but a signal handler may change everything between two instructions: `version`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "ledger/layout.h"
#include "unwind/frame.h"

namespace unfreed::track {

class RecentStacks {
 public:
  static constexpr size_t kMostDiscriminators = 12;

  /// What a stack is asked for by.
  struct Key {
    uintptr_t pc;
    uintptr_t sp;
    uint32_t tag;
  };

  struct Entry {
    uintptr_t sp;
    uintptr_t pc;
    uint32_t tag;
    uint32_t site;
    ledger::Cell* cell;  ///< the thread's counters for the site
    uint32_t first_group;
    uint16_t groups;
    uint8_t discriminator_count;
    uint8_t changes;  ///< of the discriminators
    union {
      uint16_t discriminators[kMostDiscriminators];  ///< of a root: (address − sp) / 8
      uint64_t hash;                                 ///< of a leaf: what the discriminators held
    };

    bool is_for(uintptr_t for_pc, uintptr_t for_sp, uint32_t for_tag) const {
      return sp == for_sp && pc == for_pc && tag == for_tag;
    }
    /// Anew for another stack; the room for slots stays its own.
    void start(const Key& key) {
      sp = key.sp;
      pc = key.pc;
      tag = key.tag;
      discriminator_count = changes = 0;
    }
  };
  static_assert(sizeof(Entry) == 64);

  /// The entry for this very stack, or nullptr.
  [[gnu::always_inline]] const Entry* find(uintptr_t pc, uintptr_t sp, uint32_t tag) const {
    const Entry* entry = &roots_[root_index(pc, sp)];
    if (!entry->is_for(pc, sp, tag)) [[unlikely]]
      return nullptr;
    if (entry->discriminator_count) {
      uint64_t hash = hash_of(*entry, sp);
      entry = &leaves_[first_leaf(hash)];
      if (entry->hash != hash) entry = &leaves_[first_leaf(hash) ^ 1];
      if (entry->hash != hash || !entry->is_for(pc, sp, tag)) [[unlikely]]
        return nullptr;
    }
    return holds(*entry) ? entry : nullptr;
  }

  /// Puts a stack in. `placed` is the caller's, kept with the stack, 0 at first: where it has been put before. A stack
  /// that is asked for again under other discriminators' values shows that these are none of its own words.
  void remember(const Key& key, uint32_t site, ledger::Cell* cell, const unwind::SlotLog& log, uint32_t& placed);

  /// Forgets everything.
  void clear();

  /// How much memory it may come to fill. Called before use; more threads, less each.
  void set_limit(bool small) { group_limit_ = small ? kGroups / 8 : kGroups; }

  /// Grows with every change. Who reads an entry reads this before and after.
  uint32_t version() const { return *static_cast<const volatile uint32_t*>(&version_); }

 private:
  static constexpr size_t kGroupSlots = 4;
  struct alignas(64) Group {
    uintptr_t addresses[kGroupSlots];
    uintptr_t values[kGroupSlots];
  };

  static constexpr unsigned kRootBits = 12;
  static constexpr unsigned kLeafBits = 13;
  static constexpr uint32_t kGroups = 16384;
  static constexpr uint32_t kMostUsed = 1024;
  static constexpr uint8_t kMostChanges = 40;

  static size_t root_index(uintptr_t pc, uintptr_t sp) {
    return ((pc << 20 ^ pc ^ sp) * 0x9e3779b97f4a7c15u) >> (64 - kRootBits);
  }

  // Words that differ in a few bits, each in the same ones, must not cancel each other out: a factor for each.
  static constexpr uint64_t kMultipliers[kMostDiscriminators] = {
      0xf2a74de452e6b439, 0xe513270e269e0d37, 0x8c5c7fd0a6a3a451, 0xd23f0824128b2f33,
      0x9818e811892f902b, 0x9531985d5d9dc9f9, 0xe8e25d940ed90475, 0xb6f675cc81e74ef5,
      0x9600a35a099950d9, 0xeb0d549b6f03675b, 0xbd9c172411e20b8f, 0x8d116ece1738f7d9};
  static uint64_t hash_of(const Entry& root, uintptr_t sp) {
    uint64_t hash = (root.pc ^ sp) * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < root.discriminator_count; ++i) {
      uintptr_t word = *reinterpret_cast<const uintptr_t*>(sp + root.discriminators[i] * sizeof(uintptr_t));
      hash += word * kMultipliers[i];
    }
    return hash;
  }
  /// A leaf may stand in this place or in the one beside it.
  static size_t first_leaf(uint64_t hash) { return hash >> (64 - kLeafBits); }
  Entry& leaf_for(const Entry& root, uint64_t hash);

  [[gnu::always_inline]] bool holds(const Entry& entry) const {
    const Group* group = groups_ + entry.first_group;
    const Group* end = group + entry.groups;
#if defined(__SSE2__)
    __m128i difference = _mm_setzero_si128();
    for (; group != end; ++group)
      for (size_t i = 0; i < kGroupSlots; i += 2) {
        __m128i found = _mm_castpd_si128(_mm_loadh_pd(_mm_load_sd(reinterpret_cast<const double*>(group->addresses[i])),
                                                      reinterpret_cast<const double*>(group->addresses[i + 1])));
        difference =
            _mm_or_si128(difference, _mm_xor_si128(found, *reinterpret_cast<const __m128i*>(&group->values[i])));
      }
    return _mm_movemask_epi8(_mm_cmpeq_epi8(difference, _mm_setzero_si128())) == 0xffff;
#else
    uintptr_t difference = 0;
    for (; group != end; ++group)
      for (size_t i = 0; i < kGroupSlots; ++i)
        difference |= *reinterpret_cast<const uintptr_t*>(group->addresses[i]) ^ group->values[i];
    return difference == 0;
#endif
  }

  static uint32_t mark_of(const Entry& root);
  bool learn_discriminator(Entry& root, const Entry& known) const;
  static bool drop_foreign_discriminators(Entry& root, const unwind::SlotLog& log);
  bool place(Entry& entry, const unwind::SlotLog& log);
  void note_use(uint32_t number);

  Entry roots_[size_t{1} << kRootBits];
  Entry leaves_[size_t{1} << kLeafBits];
  Group groups_[kGroups];
  uint32_t group_count_;
  uint32_t group_limit_;
  uint32_t version_;
  uint32_t used_count_;       ///< beyond kMostUsed the list is not complete
  uint16_t used_[kMostUsed];  ///< entries that are not empty: roots, then leaves
};

}  // namespace unfreed::track
