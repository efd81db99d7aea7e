// Recognises the stacks at which a thread acquires again and again, without walking them.
//
// A walk is a chain of reads: registers → slot → next frame → slot … If a new capture starts from the same (pc, sp) and
// every stack word that an earlier walk read has the same value, the walk would have the same result, by induction.
// So it is enough to know *which* words a walk from (pc, sp) reads (the stack's shape) and to compare their values.
// They are compared by a 64-bit hash: paths through the same functions have the same shape, however many there are, and
// each costs an entry of a few words instead of a copy of its stack.
//
//     roots: (pc, sp) ─▶ shape: addresses a b c d ─▶ leaves: hash(pc, sp, words at a b c d) ─▶ site, counters
//
// Where stacks from one (pc, sp) have different layouts, their shapes start alike, and fork. The value of the last
// common word (a return address, a saved frame pointer) selects the continuation of a shape:
//
//     addresses a b ─┬─ otherwise ────────── c d
//                    └─ word at b is 40123e ─ e f g ─┬─ …
//
// A wrong selection leads to a hash that no leaf has, so it only costs time. (Some stacks differ already in an earlier
// word: where a frame pointer is used several frames after the one that saved it. Two such stacks with one pc and sp
// replace each other's branch, and are walked each time.)
//
// The hash is multilinear (Carter and Wegman's universal hashing): the sum of the words, each times a 64-bit constant
// of its own. Two different stacks of one shape are taken for one if the differences, so multiplied, add up to
// 0 modulo 2^64: where all differences are multiples of 2^k, a chance of 2^-(63-k) for each pair. That is 2^-63 for
// most code, and 2^-42 for two copies of one library that lie a multiple of 2 MiB apart.
//
// All of this is about the thread's own stack, whose words can be read at any time. Used by one thread at a time, but a
// signal handler may change everything between two instructions of find(), or fork a child in which everything is 0.
// That is why there is a `version`, and why addresses are stored relative to the stack's end, not to sp: find() can
// read any address it encounters.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "ledger/layout.h"
#include "track/set_table.h"
#include "unwind/frame.h"

namespace unfreed::track {

class RecentStacks {
 public:
  /// The key of a stack.
  struct Key {
    uintptr_t pc;
    uintptr_t sp;
    uint32_t tag;
  };

  /// A stack.
  struct alignas(32) Leaf {
    uint64_t value;  ///< of the hash
    ledger::Cell* cell;
    uint32_t site;

    bool is_empty() const { return !site; }
    uint64_t hash() const { return value; }
  };

  /// The entry for this very stack, or nullptr.
  [[gnu::always_inline]] const Leaf* find(uintptr_t pc, uintptr_t sp, uint32_t tag) const {
    const Root* root = &roots_.likely(Root::hash_of(pc, sp));
    if (!root->is_for(pc, sp, tag)) [[unlikely]] {
      root = find_root(pc, sp, tag);
      if (!root) return nullptr;
    }
    Extent extent = extent_of(root->segment);
    uint64_t hash = root->seed + hash_of_words(extent, 0);
    const Segment& segment = segments_[root->segment];
    if (segment.otherwise || segment.latest.value != hash) return find_beyond(root->segment, hash, extent.count);
    return &segment.latest;
  }

  /// Adds a stack that was not found. `cell`: the thread's counters for the site, or null.
  void remember(const Key& key, uint32_t site, ledger::Cell* cell, const unwind::SlotLog& log);

  /// Forgets everything.
  void clear();

  /// The memory that it may use: one part in 2^`fewer_bits`, at most kFewestBits. Called before use; with more threads,
  /// each gets less.
  void set_limit(unsigned fewer_bits) { fewer_bits_ = fewer_bits; }
  static constexpr unsigned kFewestBits = 6;

  /// Calls `visit(start, bytes)` for the parts of the object that may be touched then, in their order.
  template <class Visit>
  void each_part_in_use(unsigned fewer_bits, Visit visit) {
    visit(&version_,
          static_cast<size_t>(reinterpret_cast<std::byte*>(&roots_) - reinterpret_cast<std::byte*>(&version_)) +
              roots_.bytes_in_use(fewer_bits));
    visit(&leaves_, leaves_.bytes_in_use(fewer_bits));
    visit(&branches_, branches_.bytes_in_use(fewer_bits));
    visit(segments_, sizeof segments_ >> fewer_bits);
    visit(places_, sizeof places_ >> fewer_bits);
    visit(&last_word_,
          static_cast<size_t>(reinterpret_cast<std::byte*>(this + 1) - reinterpret_cast<std::byte*>(&last_word_)));
  }

  /// In fork children everything is forgotten, without a page of it being copied. The object lies in whole pages of
  /// private anonymous memory.
  void forget_in_fork_children();

  /// For a stack that ends below `stack_high`; forgets any other's.
  void start(uintptr_t stack_high) {
    clear();
    last_word_ = stack_high - sizeof(uintptr_t);
  }

  /// Changes with every modification. A reader of an entry reads this before and after.
  uint32_t version() const { return *static_cast<const volatile uint32_t*>(&version_); }

  /// Slots of the longest stack that can be remembered.
  static constexpr size_t kMostSlots = 1024;

 private:
  /// What each word of a stack is multiplied by, and then pc, sp, tag and shape, which count as words: SplitMix64's
  /// numbers (Steele, Lea and Flood, 2014), made odd.
  static constexpr auto kMultipliers = [] {
    std::array<uint64_t, kMostSlots + 4> all{};
    uint64_t state = 0x756e667265656421;
    for (uint64_t& one : all) {
      uint64_t z = state += 0x9e3779b97f4a7c15;
      z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
      z = (z ^ z >> 27) * 0x94d049bb133111eb;
      one = (z ^ z >> 31) | 1;
    }
    return all;
  }();
  static uint64_t seed_of(const Key& key) {
    return key.pc * kMultipliers[kMostSlots] + key.sp * kMultipliers[kMostSlots + 1] +
           key.tag * kMultipliers[kMostSlots + 2];
  }
  static uint64_t hash_of_shape(uint32_t id) { return id * kMultipliers[kMostSlots + 3]; }

  /// The start of the shapes of one pc and sp.
  struct alignas(32) Root {
    uintptr_t pc;
    uintptr_t sp;
    uint64_t seed;  ///< what hashes begin with
    uint32_t tag;
    uint32_t segment;

    bool is_for(uintptr_t by_pc, uintptr_t by_sp, uint32_t by_tag) const {
      return sp == by_sp && pc == by_pc && tag == by_tag;
    }
    bool is_empty() const { return !segment; }
    uint64_t hash() const { return hash_of(pc, sp); }
    static uint64_t hash_of(uintptr_t pc, uintptr_t sp) { return (pc << 20 ^ pc ^ sp) * 0x9e3779b97f4a7c15u; }
  };

  /// Which places. Read at once, so that a signal handler cannot come in between.
  struct alignas(8) Extent {
    uint32_t first;
    uint32_t count;
  };

  /// A part of a shape without a fork.
  struct alignas(64) Segment {
    Extent extent;
    uint32_t id;         ///< of its branches; of the shape, where that ends here
    uint32_t otherwise;  ///< the segment that goes on where no branch says so; 0: the shape ends here
    uint32_t first_child;
    uint32_t next_sibling;
    Leaf latest;  ///< the stack of the shape that was learned last; its hash says nothing of the shape
  };

  /// A continuation of a shape.
  struct Branch {
    uintptr_t value;  ///< of the segment's last word
    uint32_t id;      ///< the segment's
    uint32_t child;

    bool is_empty() const { return !child; }
    uint64_t hash() const { return hash_of(id, value); }
    static uint64_t hash_of(uint32_t id, uintptr_t value) {
      return (value ^ uint64_t{id} * 0xd6e8feb86659fd93u) * 0x9e3779b97f4a7c15u;
    }
  };

  static constexpr uint32_t kPlaces = 512 * 1024;
  static constexpr uint32_t kSegments = 32 * 1024;

  /// In words from the stack's last, so at most 0.
  int32_t place_of(uintptr_t address) const {
    auto distance = static_cast<intptr_t>(address - last_word_);
    return static_cast<int32_t>(distance / static_cast<intptr_t>(sizeof(uintptr_t)));
  }
  uintptr_t word_at(int32_t place) const { return reinterpret_cast<const uintptr_t*>(last_word_)[place]; }

  /// What the words at these places add to the hash of a stack of which `done` words have been added.
  [[gnu::always_inline]] uint64_t hash_of_words(Extent extent, size_t done) const {
    const int32_t* places = places_ + extent.first;
    const uint64_t* multipliers = kMultipliers.data() + done;
    uint64_t hash = 0;
    size_t i = 0, count = extent.count;
    auto take = [&] {
      hash += word_at(places[i]) * multipliers[i];
      ++i;
    };
    if (count & 1) take();
    if (count & 2) {
      take();
      take();
    }
    while (i != count) {
      take();
      take();
      take();
      take();
    }
    return hash;
  }

  Extent extent_of(uint32_t segment) const {
    Extent extent;
    __atomic_load(&segments_[segment].extent, &extent, __ATOMIC_RELAXED);
    return extent;
  }
  [[gnu::hot]] const Root* find_root(uintptr_t pc, uintptr_t sp, uint32_t tag) const;
  Leaf* find_leaf(uint64_t hash) {
    return leaves_.find(hash, [hash](const Leaf& leaf) { return leaf.value == hash; });
  }
  const Leaf* find_leaf(uint64_t hash) const { return const_cast<RecentStacks*>(this)->find_leaf(hash); }
  [[gnu::hot]] const Branch* find_branch(uint32_t id, uintptr_t value) const;
  [[gnu::hot]] const Leaf* find_beyond(uint32_t segment, uint64_t hash, size_t done) const;
  void set_branch(uint32_t id, uintptr_t value, uint32_t child);
  bool has_room(size_t places) const;
  uint32_t make_segment(const unwind::SlotLog& log, size_t first_slot);
  void add_child(uint32_t segment, uint32_t child);
  uint32_t child_for(uint32_t segment, const unwind::SlotLog& log, size_t done);
  void split(uint32_t segment, uint32_t kept);
  uint32_t learn_shape(Root& root, const unwind::SlotLog& log);

  // Up to the next remark, 0 in a fork child.
  alignas(4096) uint32_t version_;
  uint32_t place_count_;
  uint32_t segment_count_;
  uint32_t last_id_;
  SetTable<Root, 7, 13, 1> roots_;
  SetTable<Leaf, 8, 15> leaves_;
  SetTable<Branch, 7, 14> branches_;
  Segment segments_[kSegments];
  int32_t places_[kPlaces];  ///< of words of the stack

  // From here on, in a fork child what it was in its parent.
  alignas(4096) uintptr_t last_word_;  ///< of the stack
  uint32_t last_version_;              ///< a fork child's versions go on from its parent's
  unsigned fewer_bits_;
};

}  // namespace unfreed::track
