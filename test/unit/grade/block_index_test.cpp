// The index of blocks by address, against a search through all of them.
#include "grade/block_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace unfreed::grade {
namespace {

constexpr uintptr_t kPage = 4096, kRegion = uintptr_t{64} << 20;

class Index : public testing::Test {
 protected:
  /// Blocks of at most so many bytes, with gaps of at most as many, until an address.
  void lay(uintptr_t from, uintptr_t to, uint64_t most_bytes, uintptr_t alignment) {
    std::uniform_int_distribution<uint64_t> sizes(0, most_bytes);
    for (uintptr_t at = from; at < to;) {
      uint64_t bytes = sizes(random_);
      blocks_.push_back({at, bytes, 1, Grade::unreached, 0, 0});
      at = (at + std::max<uint64_t>(bytes, 1) + sizes(random_) / 4 + alignment - 1) & ~(alignment - 1);
    }
  }
  void build() { ASSERT_TRUE(index_.build(blocks_)); }

  uint32_t found(uintptr_t address) const {
    size_t page = index_.page_of(address);
    return page == BlockIndex::kNoPage ? BlockIndex::kNone : index_.last_by(address, page);
  }
  /// As BlockIndex says it: the last that starts there or before.
  uint32_t expected(uintptr_t address) const {
    auto after = std::upper_bound(blocks_.begin(), blocks_.end(), address,
                                  [](uintptr_t at, const Block& block) { return at < block.start; });
    return after == blocks_.begin() ? BlockIndex::kNone : static_cast<uint32_t>(after - blocks_.begin() - 1);
  }
  /// At each block's start, inside of it, at its end and beyond.
  void check_around_blocks() {
    for (const Block& block : blocks_)
      for (uintptr_t address : {block.start - 1, block.start, block.start + 1, block.start + block.bytes / 2,
                                end_of(block) - 1, end_of(block)}) {
        uint32_t right = expected(address), got = found(address);
        bool is_beyond = right == BlockIndex::kNone || address > end_of(blocks_[right]);
        ASSERT_TRUE(got == right || (is_beyond && got == BlockIndex::kNone)) << std::hex << address;
      }
  }
  bool any_unreached(uintptr_t address) const {
    size_t page = index_.page_of(address);
    return page != BlockIndex::kNoPage && index_.is_any_unreached(page);
  }

  std::mt19937 random_{7};
  std::vector<Block> blocks_;
  BlockIndex index_;
};

TEST_F(Index, FindsBlocksOfAllSizesAndAlignments) {
  uintptr_t at = 0x5555'0000'0000;
  for (uint64_t most : {1, 24, 200, 5000, 300'000})
    for (uintptr_t alignment : {1, 8, 16, 4096}) {
      at += kRegion;
      lay(at, at + 40 * kPage, most, alignment);
    }
  build();
  check_around_blocks();
}

TEST_F(Index, FindsBlocksThatReachThroughRegions) {
  blocks_.push_back({0x7000'0000'0000 - 32, 3 * kRegion, 1, Grade::unreached, 0, 0});
  lay(0x7000'0000'0000 + 3 * kRegion, 0x7000'0000'0000 + 3 * kRegion + kPage, 100, 16);
  build();
  check_around_blocks();
  EXPECT_EQ(found(0x7000'0000'0000 + kRegion + 8), 0u);
  EXPECT_EQ(found(0x6000'0000'0000), BlockIndex::kNone);
}

/// A thread's pthread_t lies in its stack, which may be a block.
TEST_F(Index, BearsBlocksInBlocks) {
  uintptr_t start = 0x7000'0000'0000 + 64;
  blocks_ = {{start, 3 * kRegion, 1, Grade::unreached, 0, 0}, {start + 4096, 1, 1, Grade::unreached, 0, 0}};
  build();
  EXPECT_EQ(found(start + 100), 0u);
  EXPECT_EQ(found(start + 4096), 1u);
  for (const Block& block : blocks_) index_.was_reached(block, block.start, index_.page_of(block.start));
  for (uintptr_t region = 0; region < 4; ++region) EXPECT_FALSE(any_unreached(start + region * kRegion)) << region;
}

TEST_F(Index, HasNothingOfAnEmptyHeap) {
  build();
  EXPECT_EQ(found(4096), BlockIndex::kNone);
}

TEST_F(Index, RefusesWhatLiesBeyondAllAddresses) {
  blocks_.push_back({(uintptr_t{1} << arch::kAddressBits) - 16, 32, 1, Grade::unreached, 0, 0});
  EXPECT_FALSE(index_.build(blocks_));
}

TEST_F(Index, KnowsPagesWhereAllHaveBeenReached) {
  uintptr_t start = 0x5555'0000'0000;
  blocks_ = {{start + 16, 100, 1, Grade::unreached, 0, 0},
             {start + 200, 2 * kPage, 1, Grade::unreached, 0, 0},
             {start + 3 * kPage - 64, 64, 1, Grade::unreached, 0, 0}};
  build();
  for (uintptr_t page = 0; page < 4; ++page)
    EXPECT_TRUE(any_unreached(start + page * kPage)) << page << ": the last one's end is at the start of the page";
  EXPECT_FALSE(any_unreached(start + 4 * kPage));
  uintptr_t middle = start + kPage + 8;
  index_.was_reached(blocks_[1], middle, index_.page_of(middle));
  EXPECT_TRUE(any_unreached(start));
  EXPECT_FALSE(any_unreached(middle));
  EXPECT_TRUE(any_unreached(start + 2 * kPage));
  index_.was_reached(blocks_[0], start + 16, index_.page_of(start + 16));
  index_.was_reached(blocks_[2], start + 3 * kPage, index_.page_of(start + 3 * kPage));
  for (uintptr_t page = 0; page < 4; ++page) EXPECT_FALSE(any_unreached(start + page * kPage)) << page;
}

}  // namespace
}  // namespace unfreed::grade
