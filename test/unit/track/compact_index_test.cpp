// The heap index of processes with little address space: what was put is found, in children nothing, and all of it can
// be given back.
#include "track/compact_index.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "base/address_space.h"
#include "track/heap_index.h"

namespace unfreed::track {
namespace {

size_t mapped_bytes() {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * 4096;
}

class Compact : public testing::TestWithParam<unsigned> {
 protected:
  void SetUp() override { ASSERT_TRUE(index_.prepare(GetParam())); }
  uint64_t value(uintptr_t address) const {
    CompactIndex::Word* word = index_.find(address);
    return word ? word->load() : 0;
  }
  CompactIndex index_;
};

TEST_P(Compact, FindsWhatWasPut) {
  std::mt19937_64 random(7);
  std::map<uintptr_t, uint64_t> expected;
  for (int i = 0; i < 20000; ++i) {
    uintptr_t address = (random() % 2 ? 0x555555550000 : 0x7ffff0000000) + (random() % (1 << 20)) * 32;
    ASSERT_TRUE(index_.make(address));
    *index_.make(address) = expected[address] = random() | 1;
  }
  for (auto [address, wanted] : expected) ASSERT_EQ(value(address), wanted);
  EXPECT_EQ(value(0x600000000000), 0u);
  std::map<uintptr_t, uint64_t> seen;
  index_.each([&](uintptr_t address, uint64_t one) { seen[address] = one; });
  EXPECT_EQ(seen, expected);
}

TEST_P(Compact, TakesAQuarterOfTheHeapAtMost) {
  size_t before = mapped_bytes();
  constexpr uintptr_t kHeap = 0x7f0000000000;
  constexpr size_t kBytes = 16 << 20;
  for (uintptr_t at = 0; at < kBytes; at += 4096) *index_.make(kHeap + at) = 1;
  size_t words = kBytes >> GetParam();
  EXPECT_LT(mapped_bytes() - before, words * 8 * 2);
}

TEST_P(Compact, IsEmptyInAForkChildAndWorksThere) {
  *index_.make(0x1234560) = 5;
  pid_t child = fork();
  if (child == 0) {
    index_.reset_after_fork();
    bool is_empty = !index_.find(0x1234560);
    bool works = index_.make(0x7654320) && (*index_.make(0x7654320) = 9) == 9 && value(0x7654320) == 9;
    _exit(is_empty && works ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(value(0x1234560), 5u);
}

TEST_P(Compact, IsGivenBackWhileOthersUseIt) {
  std::atomic<bool> is_over{false};
  std::vector<std::thread> users;
  for (uintptr_t user = 0; user < 3; ++user)
    users.emplace_back([&, user] {
      for (uintptr_t i = 0; !is_over; ++i) {
        CompactIndex::Use use(index_);
        if (!use) continue;
        uintptr_t address = 0x7f0000000000 + (user << 32) + i % 100000 * 64;
        if (CompactIndex::Word* word = index_.make(address)) *word = i + 1;
      }
    });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  size_t before = mapped_bytes();
  while (!index_.give_back()) std::this_thread::yield();
  EXPECT_LT(mapped_bytes(), before);
  is_over = true;
  for (std::thread& user : users) user.join();
  EXPECT_FALSE(CompactIndex::Use(index_));
  EXPECT_FALSE(index_.give_back());
}

TEST_P(Compact, IsNotGivenBackUnderItsUser) {
  CompactIndex::Use use(index_);
  EXPECT_FALSE(index_.give_back());
  EXPECT_TRUE(use);
  EXPECT_TRUE(index_.make(0x1000));
}

INSTANTIATE_TEST_SUITE_P(Grains, Compact, testing::Values(5u, 3u));

// Where the process's limit is near, HeapIndex is such a one.
TEST(HeapIndexWithLittleAddressSpace, DoesTheSame) {
  pid_t child = fork();
  if (child == 0) {
    rlimit limit{mapped_bytes() + (256 << 20), RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &limit);
    base::measure_address_space();
    HeapIndex index;
    bool is_right = index.prepare(32) && index.is_compact();
    is_right = is_right && index.put(0x7f0000001000, {.site = 3, .epoch = 1, .size_bytes = 100});
    is_right = is_right && index.put(0x7f0000002000, {.site = 4, .epoch = 1, .size_bytes = size_t{1} << 30});
    is_right = is_right && !index.put(0x7f0000001000, {.site = 5, .epoch = 1, .size_bytes = 1});
    Block block;
    is_right = is_right && index.take(0x7f0000002000, block) && block.site == 4 && block.size_bytes == 1u << 30;
    is_right = is_right && !index.take(0x7f0000002000, block);
    is_right = is_right && index.give_back() && !index.take(0x7f0000001000, block) && !index.put(0x7f0000003000, block);
    _exit(is_right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace unfreed::track
