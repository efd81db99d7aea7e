// The heap index: every block found, exact, and none that is not there.
#include "track/heap_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace unfreed::track {
namespace {

class Index : public testing::TestWithParam<unsigned> {
 protected:
  void SetUp() override { ASSERT_TRUE(index_.prepare(GetParam())); }
  HeapIndex index_;
};

TEST_P(Index, GivesBackWhatWasPut) {
  ASSERT_TRUE(index_.put(0x7f0012345680, {77, 3, false, 123}));
  Block block;
  ASSERT_TRUE(index_.take(0x7f0012345680, block));
  EXPECT_EQ(block.site, 77u);
  EXPECT_EQ(block.epoch, 3u);
  EXPECT_EQ(block.size_bytes, 123u);
  EXPECT_FALSE(block.ignored);
  EXPECT_FALSE(index_.take(0x7f0012345680, block));
}

TEST_P(Index, HoldsTheHighestAddresses) {
  const uintptr_t highest = (uintptr_t{1} << arch::kAddressBits) - 0x1000;
  Block block;
  ASSERT_TRUE(index_.put(highest, {7, 1, false, 100}));
  ASSERT_TRUE(index_.take(highest, block));
  EXPECT_EQ(block.site, 7u);
  EXPECT_FALSE(index_.put(highest << 1, {7, 1, false, 100}));
}

TEST_P(Index, KeepsNeighboursApart) {
  for (uintptr_t i = 0; i < 100; ++i)
    ASSERT_TRUE(index_.put(0x555500000010 + i * GetParam(), {static_cast<uint32_t>(i + 1), 1, false, i}));
  for (uintptr_t i = 0; i < 100; ++i) {
    Block block;
    ASSERT_TRUE(index_.take(0x555500000010 + i * GetParam(), block));
    EXPECT_EQ(block.site, i + 1);
    EXPECT_EQ(block.size_bytes, i);
  }
}

TEST_P(Index, HoldsLargeSizesExactly) {
  std::mt19937_64 random(1);
  std::map<uintptr_t, uint64_t> expected;
  for (int i = 0; i < 3000; ++i) {
    uintptr_t address = 0x7e0000000000 + (random() % 4000) * 0x1000000 + 16;
    Block block;
    bool known = index_.take(address, block);
    ASSERT_EQ(known, expected.count(address) == 1);
    if (known) {
      EXPECT_EQ(block.size_bytes, expected[address]);
      expected.erase(address);
    } else {
      uint64_t size = (1u << 24) - 2 + random() % 4 + (random() % 3 ? random() % (uint64_t{1} << 40) : 0);
      ASSERT_TRUE(index_.put(address, {5, 1, false, size}));
      expected[address] = size;
    }
  }
}

TEST_P(Index, ListsAllThatLive) {
  std::map<uintptr_t, Block> expected;
  std::mt19937_64 random(2);
  for (int i = 0; i < 500; ++i) {
    uintptr_t address = 0x7d0000000000 + (random() % 0x10000000) / GetParam() * GetParam();
    Block block{static_cast<uint32_t>(random() % kMostSites), static_cast<uint32_t>(random() % kLastEpoch), false,
                random() % 100000};
    ASSERT_TRUE(index_.put(address, block));
    expected[address] = block;
  }
  std::map<uintptr_t, Block> seen;
  index_.each(&seen, [](void* context, uintptr_t address, const Block& block) {
    auto& map = *static_cast<std::map<uintptr_t, Block>*>(context);
    EXPECT_TRUE(map.emplace(address, block).second);
  });
  ASSERT_EQ(seen.size(), expected.size());
  for (auto& [address, block] : expected) {
    EXPECT_EQ(seen[address].site, block.site);
    EXPECT_EQ(seen[address].epoch, block.epoch);
    EXPECT_EQ(seen[address].size_bytes, block.size_bytes);
  }
}

TEST_P(Index, ListsARangeInOrder) {
  // glibc's blocks begin at multiples of 16, two of them never in the same 32.
  const uintptr_t first = 0x7d0003ffff90;  // up to the end of a region, and beyond
  std::vector<uintptr_t> expected;
  for (uintptr_t at = first; at < first + 0x1000; at += 48) {
    ASSERT_TRUE(index_.put(at, {1, 1, false, at & 0xff}));
    if (at >= first + 48 && at < first + 0x900) expected.push_back(at);
  }
  std::vector<uintptr_t> seen;
  index_.each_in(first + 48, first + 0x900, [&](uintptr_t address, const Block& block) {
    EXPECT_EQ(block.size_bytes, address & 0xff);
    seen.push_back(address);
  });
  EXPECT_EQ(seen, expected);
}

TEST_P(Index, GivesSizesOfLargeBlocksInARange) {
  constexpr uintptr_t kPlace = 0x7f1234567010;
  ASSERT_TRUE(index_.put(kPlace, {1, 1, false, uint64_t{5} << 30}));
  uint64_t bytes = 0;
  index_.each_in(kPlace, kPlace + 1, [&](uintptr_t, const Block& block) { bytes = block.size_bytes; });
  EXPECT_EQ(bytes, uint64_t{5} << 30);
}

TEST_P(Index, RemembersThatABlockIsIgnored) {
  ASSERT_TRUE(index_.put(0x7f0000001000, {9, 2, false, 50}));
  Block block;
  ASSERT_TRUE(index_.ignore(0x7f0000001000, block));
  EXPECT_FALSE(block.ignored);
  ASSERT_TRUE(index_.ignore(0x7f0000001000, block));
  EXPECT_TRUE(block.ignored);
  ASSERT_TRUE(index_.take(0x7f0000001000, block));
  EXPECT_TRUE(block.ignored);
  EXPECT_TRUE(block.in_use) << "what it leads to is, too";
  EXPECT_EQ(block.size_bytes, 50u);
}

TEST_P(Index, KeepsWhatIsThereAlready) {
  constexpr uintptr_t kPlace = 0x7f0000001000;
  ASSERT_TRUE(index_.put(kPlace, {9, 5, false, 77, true}));
  EXPECT_FALSE(index_.put(kPlace, {10, 6, false, 78, true}));
  EXPECT_FALSE(index_.put(kPlace, {10, 6, false, 1u << 25}));
  EXPECT_FALSE(index_.put_simply(kPlace, 11, 7, 79));
  EXPECT_TRUE(index_.may_be_sampled(kPlace));
  Block block;
  ASSERT_TRUE(index_.take(kPlace, block));
  EXPECT_EQ(block.site, 9u);
  EXPECT_EQ(block.epoch, 5u);
  EXPECT_EQ(block.size_bytes, 77u);
  EXPECT_FALSE(index_.may_be_sampled(kPlace));
  EXPECT_TRUE(index_.put_simply(kPlace, 11, 7, 79));
  ASSERT_TRUE(index_.take(kPlace, block));
  EXPECT_EQ(block.size_bytes, 79u);
}

TEST_P(Index, KnowsWhereNoBlockIsSampled) {
  // One whole page of sampled blocks, as close together as they come, in the last page of a region.
  constexpr uintptr_t kPage = 0x7f0000000000 + (uintptr_t{1} << 26) - 4096;
  EXPECT_FALSE(index_.may_be_sampled(kPage));
  EXPECT_FALSE(index_.may_be_sampled(0));
  EXPECT_FALSE(index_.may_be_sampled(UINTPTR_MAX));
  for (uintptr_t at = kPage; at < kPage + 4096; at += GetParam()) ASSERT_TRUE(index_.put(at, {3, 1, false, 8, true}));
  EXPECT_FALSE(index_.may_be_sampled(kPage - 1));
  EXPECT_FALSE(index_.may_be_sampled(kPage + 4096));
  Block block;
  for (uintptr_t at = kPage; at < kPage + 4096; at += GetParam()) {
    EXPECT_TRUE(index_.may_be_sampled(at));
    EXPECT_TRUE(index_.may_be_sampled(kPage + 4095 - 8));
    ASSERT_TRUE(index_.take(at, block));
    EXPECT_TRUE(block.sampled);
  }
  EXPECT_FALSE(index_.may_be_sampled(kPage));
  // Those that are not sampled do not count.
  ASSERT_TRUE(index_.put(kPage, {3, 1, false, 8}));
  EXPECT_FALSE(index_.may_be_sampled(kPage));
  ASSERT_TRUE(index_.take(kPage, block));
  EXPECT_FALSE(index_.may_be_sampled(kPage));
}

TEST_P(Index, FindsSimplyWhatIsPlain) {
  constexpr uintptr_t kPlace = 0x7f0000001000;
  uint32_t site = 0;
  uint64_t bytes = 0;
  auto found = [&] { return index_.find_simply(kPlace, site, bytes); };
  EXPECT_EQ(found(), nullptr);
  ASSERT_TRUE(index_.put(kPlace, {9, 5, false, 77}));
  std::atomic<uint64_t>* word = found();
  ASSERT_NE(word, nullptr);
  EXPECT_EQ(site, 9u);
  EXPECT_EQ(bytes, 77u);
  word->store(0);
  EXPECT_EQ(found(), nullptr);
  Block block;
  for (const Block& other :
       {Block{9, 5, true, 77, false}, Block{9, 5, false, 77, true}, Block{9, 5, false, 1u << 24}}) {
    ASSERT_TRUE(index_.put(kPlace, other));
    EXPECT_EQ(found(), nullptr);
    ASSERT_TRUE(index_.take(kPlace, block));
  }
}

TEST_P(Index, RefusesAddressesBeyondUserSpace) {
  Block block;
  EXPECT_FALSE(index_.put(uintptr_t{1} << 60, {1, 1, false, 1}));
  EXPECT_FALSE(index_.take(uintptr_t{1} << 60, block));
  EXPECT_FALSE(index_.take(0x1234567890, block));
}

INSTANTIATE_TEST_SUITE_P(Grains, Index, testing::Values(8u, 32u));

}  // namespace
}  // namespace unfreed::track
