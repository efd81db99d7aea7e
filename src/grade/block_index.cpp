#include "grade/block_index.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace unfreed::grade {

bool BlockIndex::build(std::span<const Block> blocks) {
  blocks_ = blocks;
  if (!make_regions()) return false;
  size_t pages = region_count_ * kPagesOfRegion;
  firsts_ = page_memory_.reserve_array<uint32_t>(pages + 1);
  starts_ = start_memory_.reserve_dense<uint8_t>(pages * kGrainsOfPage);
  unreached_ = unreached_memory_.reserve_array<uint16_t>(pages);
  if (!firsts_ || !starts_ || !unreached_) return false;
  fill_pages();
  return true;
}

/// Numbers the regions that have a part of a block, in order of address.
bool BlockIndex::make_regions() {
  groups_ = group_memory_.reserve_array<uint32_t>(kGroups);
  regions_ = region_memory_.reserve_array<uint32_t>(kGroups * kRegionsOfGroup);  // as far as there are groups
  if (!groups_ || !regions_) return false;
  size_t groups = 0;
  uintptr_t next = 0;
  for (const Block& block : blocks_) {
    const uintptr_t last = end_of(block) >> kRegionBits;
    if (last < next) continue;
    if (last >> (arch::kAddressBits - kRegionBits)) return false;
    for (uintptr_t region = std::max(block.start >> kRegionBits, next); region <= last; ++region) {
      uint32_t& group = groups_[region / kRegionsOfGroup];
      if (!group) group = static_cast<uint32_t>(groups++ * kRegionsOfGroup + 1);
      regions_[group - 1 + region % kRegionsOfGroup] = static_cast<uint32_t>(++region_count_);
    }
    next = last + 1;
  }
  return true;
}

void BlockIndex::fill_pages() {
  size_t filled = 0;  // pages
  for (size_t at = 0; at < blocks_.size(); ++at) {
    const Block& block = blocks_[at];
    size_t page = page_of(block.start);
    for (; filled <= page; ++filled) firsts_[filled] = static_cast<uint32_t>(at);
    size_t grain = (block.start >> kGrainBits) & (kGrainsOfPage - 1);
    starts_[page * kGrainsOfPage + grain] = static_cast<uint8_t>(std::min<size_t>(at - firsts_[page] + 1, kMostInByte));
    // A block's very end counts as a part of it: pointers lead there, too.
    for (size_t last = page + (end_of(block) >> kPageBits) - (block.start >> kPageBits); page <= last; ++page)
      ++unreached_[page];
  }
  for (; filled <= region_count_ * kPagesOfRegion; ++filled) firsts_[filled] = static_cast<uint32_t>(blocks_.size());
}

uint32_t BlockIndex::search(uintptr_t address, size_t page) const {
  constexpr unsigned kGrains = sizeof(uint64_t);  // looked at at once
  const uint32_t first = firsts_[page], end = firsts_[page + 1];
  const uint8_t* starts = starts_ + page * kGrainsOfPage;
  const size_t grain = (address >> kGrainBits) & (kGrainsOfPage - 1);
  unsigned number = starts[grain];
  if (!number && first != end) {
    uint64_t bytes;
    size_t word = grain / kGrains;
    std::memcpy(&bytes, starts + word * kGrains, sizeof bytes);
    bytes &= (uint64_t{1} << 8 * (grain % kGrains)) - 1;
    while (!bytes && word) std::memcpy(&bytes, starts + --word * kGrains, sizeof bytes);
    if (bytes) number = static_cast<unsigned>(bytes >> (63 - std::countl_zero(bytes)) / 8 * 8);
  }
  uint32_t at = first + number;  // the one behind it
  if (number == kMostInByte)
    while (at < end && blocks_[at].start <= address) ++at;
  while (at > first && blocks_[at - 1].start > address) --at;
  return at ? at - 1 : kNone;
}

}  // namespace unfreed::grade
