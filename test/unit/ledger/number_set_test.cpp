// The set of record numbers: nothing is lost or entered twice while it grows, whoever enters it.
#include "ledger/number_set.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace unfreed::ledger {
namespace {

/// Numbers of records that say `keys[number]`.
class Numbers : public testing::Test {
 protected:
  static constexpr uint32_t kMost = 200'000;

  Numbers() { EXPECT_TRUE(set_.prepare(16)); }

  static uint64_t hash_of_key(uint32_t key) { return key * 0x9e3779b97f4a7c15u >> 20; }
  auto is(uint32_t key) const {
    return [this, key](uint32_t number) { return keys_[number] == key; };
  }
  uint32_t find(uint32_t key) const { return set_.find(hash_of_key(key), is(key)); }
  /// A record of its own for every try, as with the ledger's.
  uint32_t enter(uint32_t key) {
    uint32_t number = last_.fetch_add(1) + 1;
    keys_[number] = key;
    return set_.insert(number, is(key), [this](uint32_t known) { return hash_of_key(keys_[known]); });
  }

  NumberSet set_;
  std::atomic<uint32_t> last_{0};
  std::vector<uint32_t> keys_ = std::vector<uint32_t>(kMost);
};

TEST_F(Numbers, AreFoundAfterAnyGrowth) {
  for (uint32_t key = 1; key <= 5000; ++key) {
    EXPECT_EQ(find(key), 0u);
    EXPECT_EQ(enter(key), key);
  }
  for (uint32_t key = 1; key <= 5000; ++key) ASSERT_EQ(find(key), key);
}

TEST_F(Numbers, AreEnteredOnce) {
  EXPECT_EQ(enter(7), 1u);
  EXPECT_EQ(enter(7), 1u);
  EXPECT_EQ(enter(8), 3u);
}

TEST_F(Numbers, AreTheSameForAllThreads) {
  constexpr uint32_t kThreads = 4, kKeys = 20'000;
  std::array<std::vector<uint32_t>, kThreads> seen;
  std::atomic<uint32_t> ready{0};
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      ++ready;
      while (ready < kThreads) {
      }
      for (uint32_t key = 1; key <= kKeys; ++key) {
        uint32_t known = find(key);
        seen[t].push_back(known ? known : enter(key));
        EXPECT_EQ(find(key), seen[t].back());
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (uint32_t key = 1; key <= kKeys; ++key)
    for (uint32_t t = 0; t < kThreads; ++t)
      ASSERT_EQ(seen[t][key - 1], find(key)) << "key " << key << " of thread " << t;
}

}  // namespace
}  // namespace unfreed::ledger
