// Blocks that libc turns out to have kept for itself.
#include "track/libc_caches.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "support/tracked_process.h"
#include "track/heap.h"
#include "track/heap_index.h"

namespace unfreed::track {
namespace {

using ledger::Counts;
using ledger::Kind;
using ledger::SectionId;

constexpr uintptr_t kHeap = 0x7000'0000'0000;

class LibcCachesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(g_heap_index.prepare(32)); }
  LibcCachesTest() {
    g_tracker.heap_use = HeapUse::every_block;
    refresh_active();
  }
  ~LibcCachesTest() override {
    Block gone;
    for (uintptr_t block : blocks_) g_heap_index.take(block, gone);
    g_tracker.heap_use = HeapUse::none;
    refresh_active();
  }
  uint32_t site(uint8_t flags = ledger::kSiteWithinLibc) {
    uint64_t index = 0;
    auto* made = g_tracker.writer.append<ledger::Site>(SectionId::sites, index);
    if (!index) made = g_tracker.writer.append<ledger::Site>(SectionId::sites, index);  // 0 is none
    made->kind = static_cast<uint8_t>(Kind::heap);
    made->flags = flags;
    counts_.resize(index + 1);
    return static_cast<uint32_t>(index);
  }
  /// A live block of a site.
  uintptr_t block(uint32_t site, Block how = {}) {
    how.site = site;
    how.size_bytes = 100;
    uintptr_t address = kHeap + 4096 * blocks_.size();
    blocks_.push_back(address);
    EXPECT_TRUE(g_heap_index.put(address, how));
    if (!how.ignored) ++counts_[site].acquired;
    return address;
  }
  static bool is_ignored(uintptr_t address) {
    Block known;
    EXPECT_TRUE(g_heap_index.find_block(address, known));
    return known.ignored;
  }
  static bool is_libcs(uint32_t site) { return site_at(site).flags & ledger::kSiteLibc; }
  /// As it counts them.
  void give(std::initializer_list<uintptr_t> blocks) {
    std::vector<Counts> counts = counts_;
    give_to_libc(std::vector<uintptr_t>(blocks), counts);
  }

  test::TrackedProcess& process_ = test::TrackedProcess::the();
  std::vector<Counts> counts_;
  std::vector<uintptr_t> blocks_;
};

TEST_F(LibcCachesTest, AStackThatLeadsToNothingButCachesIsLibcs) {
  uint32_t caches = site(), other = site();
  uintptr_t one = block(caches), two = block(caches);
  block(other);
  ++counts_[caches].acquired;  // one that it has freed
  ++counts_[caches].released;
  EXPECT_TRUE(has_undecided_blocks(counts_));
  give({one, two});
  EXPECT_TRUE(is_libcs(caches));
  EXPECT_FALSE(is_libcs(other));
  EXPECT_TRUE(site_at(caches).flags & ledger::kSiteWithinLibc);
}

TEST_F(LibcCachesTest, OneThatGaveABlockToTheProgramMayDoSoAgain) {
  uint32_t both = site();
  uintptr_t cache = block(both), programs = block(both);
  give({cache});
  EXPECT_FALSE(is_libcs(both));
  EXPECT_TRUE(is_ignored(cache));
  EXPECT_FALSE(is_ignored(programs));
  EXPECT_TRUE(has_undecided_blocks(counts_));
}

TEST_F(LibcCachesTest, OneThatHasNoBlocksIsNotKnown) {
  uint32_t none = site(), freed = site();
  counts_[freed].acquired = counts_[freed].released = 3;
  EXPECT_FALSE(has_undecided_blocks(counts_));
  give({});
  EXPECT_FALSE(is_libcs(none));
  EXPECT_TRUE(is_libcs(freed)) << "libc has freed all that it allocated there";
}

TEST_F(LibcCachesTest, BlocksOfOtherCodeStayTheProgramsOwn) {
  uint32_t programs = site(0), libcs = site(ledger::kSiteWithinLibc | ledger::kSiteLibc);
  uintptr_t one = block(programs), two = block(libcs);
  EXPECT_FALSE(has_undecided_blocks(counts_));
  give({one, two, kHeap + 0x100000});
  EXPECT_FALSE(is_ignored(one));
  EXPECT_FALSE(is_ignored(two));
  EXPECT_FALSE(is_libcs(programs));
}

TEST_F(LibcCachesTest, BlocksThatDoNotCountOneByOneAreNoSignOfCaches) {
  uint32_t known = site(), sampled = site();
  Block is_ignored_already, is_sampled;
  is_ignored_already.ignored = is_sampled.sampled = true;
  uintptr_t one = block(known, is_ignored_already), two = block(sampled, is_sampled);
  block(known);
  give({one, two});
  EXPECT_FALSE(is_libcs(known)) << "the other one may be the program's";
  EXPECT_FALSE(is_libcs(sampled));
  EXPECT_FALSE(is_ignored(two)) << "it stands for others";
}

TEST_F(LibcCachesTest, SitesThatAreNewerThanTheCountsAreLeftAlone) {
  uint32_t known = site(), newer = site();
  block(known);
  uintptr_t block_of_newer = block(newer);
  std::vector<Counts> counts = counts_;
  counts[newer] = {3, 2, 0, 0};
  std::span<Counts> older = std::span(counts).first(newer);
  counts[known].released = counts[known].acquired;
  EXPECT_FALSE(has_undecided_blocks(older));
  give_to_libc(std::vector{block_of_newer}, older);
  EXPECT_EQ(counts[newer].released, 2u);
  counts[newer].released = 3;
  give_to_libc({}, older);
  EXPECT_FALSE(is_libcs(newer));
  EXPECT_TRUE(is_libcs(known));
}

}  // namespace
}  // namespace unfreed::track
