// How old the live blocks of each site are, and in which test they were allocated: they are counted by site, age
// (base/age_class.h) and test, as the heap's blocks are gone through to be graded. Allocation-free but for its scratch
// memory; async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "grade/scratch.h"
#include "ledger/writer.h"

namespace unfreed::grade {

class HeapAges {
 public:
  /// `taken_ns`: the moment that the blocks are of.
  explicit HeapAges(uint64_t taken_ns) : taken_ns_(taken_ns) {}

  /// One more block of that birth epoch. Without memory for it, no age is known.
  void add(uint32_t site, uint32_t epoch, uint64_t bytes);

  /// Enters them in SectionId::heap_ages, which is left empty where they are not known.
  void write(ledger::Writer& out) const;

 private:
  struct Group {
    uint64_t key;  ///< 0: none
    ledger::HeapAge age;
  };
  /// Where the group of a key is, or is to be.
  static Group* place_of(Group* groups, size_t capacity, uint64_t key);
  bool grow();

  static constexpr unsigned kTables = 24;  ///< each twice as large as the one before

  /// Of the block before, which mostly has the same.
  struct Last {
    uint32_t site, epoch;
    Group* group = nullptr;
  } last_{};

  uint64_t taken_ns_;
  uint32_t epoch_ = 0;  ///< of the block before
  uint32_t test_ = 0;   ///< that it was born in
  Scratch tables_[kTables];
  unsigned table_ = 0;
  Group* groups_ = nullptr;
  size_t capacity_ = 0;
  size_t used_ = 0;
  bool is_unknown_ = false;
};

}  // namespace unfreed::grade
