// Which block does a pointer lead to? Blocks by address:
//
//     group ─▶ region (64 MiB) ─▶ page: its first block ─▶ grain (16 bytes): the last block that starts there
//
// Pointers are tried by the million, most of them to where every block has been reached: each page knows of how many
// blocks it has a part that have not. Allocates its own memory, for its life; async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "arch/address.h"
#include "grade/block.h"
#include "grade/scratch.h"

namespace unfreed::grade {

class BlockIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kNoPage = SIZE_MAX;

  /// `blocks`: in order of address; they outlive it. False: there is no memory, or a block lies beyond all addresses.
  bool build(std::span<const Block> blocks);

  /// The page of an address below 2^arch::kAddressBits, by a number of the index's own; kNoPage: no block lies near.
  size_t page_of(uintptr_t address) const {
    // Numbers that are no pointers lead all over the address space, and would touch all of a single table for it.
    uint32_t group = groups_[address >> kGroupBits];
    if (!group) return kNoPage;
    uint32_t region = regions_[group - 1 + ((address >> kRegionBits) & (kRegionsOfGroup - 1))];
    return region ? (region - 1) * kPagesOfRegion + ((address >> kPageBits) & (kPagesOfRegion - 1)) : kNoPage;
  }

  /// The number of the last block that starts at an address of that page or before it, though it may have ended long
  /// before; kNone: there is none.
  uint32_t last_by(uintptr_t address, size_t page) const {
    uint32_t first = firsts_[page],
             number = starts_[page * kGrainsOfPage + ((address >> kGrainBits) & (kGrainsOfPage - 1))];
    bool is_start = number && number < kMostInByte && blocks_[first + number - 1].start == address;
    return is_start ? first + number - 1 : search(address, page);
  }

  /// May a pointer into that page, or to the very end of a block, lead to one that was_reached() has not been called
  /// for?
  bool is_any_unreached(size_t page) const { return unreached_[page]; }
  /// To be called once for a block. `address`: of it, or its very end; `page`: of that.
  void was_reached(const Block& block, uintptr_t address, size_t page) {
    size_t first = page - ((address >> kPageBits) - (block.start >> kPageBits));
    size_t more = (end_of(block) >> kPageBits) - (block.start >> kPageBits);
    for (size_t at = first; at <= first + more; ++at) --unreached_[at];
  }

 private:
  static constexpr unsigned kGroupBits = 36, kRegionBits = 26, kPageBits = 12, kGrainBits = 4;
  static constexpr size_t kGroups = size_t{1} << (arch::kAddressBits - kGroupBits);
  static constexpr size_t kRegionsOfGroup = size_t{1} << (kGroupBits - kRegionBits);
  static constexpr size_t kPagesOfRegion = size_t{1} << (kRegionBits - kPageBits);
  static constexpr size_t kGrainsOfPage = size_t{1} << (kPageBits - kGrainBits);
  static constexpr uint32_t kMostInByte = UINT8_MAX;

  uint32_t search(uintptr_t address, size_t page) const;
  bool make_regions();
  void fill_pages();

  std::span<const Block> blocks_;
  Scratch group_memory_, region_memory_, page_memory_, start_memory_, unreached_memory_;
  uint32_t* groups_ = nullptr;   ///< place of its first region in regions_, plus 1; 0: no block lies there
  uint32_t* regions_ = nullptr;  ///< its number among those where blocks lie, plus 1; 0: none does
  uint32_t* firsts_ = nullptr;   ///< by page: the first block that starts in it or later
  uint8_t* starts_ = nullptr;    ///< by grain: the last block that starts in it, its number in the page plus 1, if that
                                 ///< fits; 0: none does
  uint16_t* unreached_ = nullptr;  ///< by page
  size_t region_count_ = 0;
};

}  // namespace unfreed::grade
