// The table of recent stacks, on words in an array that stands for the stack.
#include "track/recent_stacks.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace unfreed::track {
namespace {

using unwind::Slot;
using unwind::SlotLog;

constexpr uint32_t kTag = 0x6f01;

class Recent : public testing::Test {
 protected:
  Recent() : recent_(static_cast<RecentStacks*>(aligned_alloc(alignof(RecentStacks), sizeof(RecentStacks))), &free) {
    memset(static_cast<void*>(recent_.get()), 0, sizeof(RecentStacks));
    recent_->set_limit(0);
    recent_->start(reinterpret_cast<uintptr_t>(words_ + std::size(words_)));
  }

  uintptr_t sp() const { return reinterpret_cast<uintptr_t>(words_); }
  uint32_t find(uintptr_t pc = 0x401000) const {
    const RecentStacks::Leaf* leaf = recent_->find(pc, sp(), kTag);
    return leaf ? leaf->site : 0;
  }
  /// The words at these places, as they are now, are what a walk read.
  void remember(uint32_t site, const std::vector<size_t>& places, uintptr_t pc = 0x401000) {
    std::vector<Slot> slots;
    for (size_t place : places) slots.push_back({reinterpret_cast<uintptr_t>(&words_[place]), words_[place]});
    SlotLog log;
    log.slots = slots.data();
    log.size = log.capacity = slots.size();
    recent_->remember({pc, sp(), kTag}, site, nullptr, log);
  }

  std::unique_ptr<RecentStacks, void (*)(void*)> recent_;
  uintptr_t words_[256] = {};
};

TEST_F(Recent, KnowsNothingAtFirst) { EXPECT_EQ(find(), 0u); }

TEST_F(Recent, ForgetsEverythingInAForkChild) {
  recent_->forget_in_fork_children();
  remember(7, {1, 2, 3});
  ASSERT_EQ(find(), 7u);
  pid_t child = fork();
  if (child == 0) {
    bool forgotten = find() == 0;
    remember(8, {1, 2});
    _exit(forgotten && find() == 8 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(find(), 7u);
}

// Whoever was interrupted in the middle of a search, by a handler that forked, goes on with it in the child, where one
// table is 0 and what he has from another is not.
TEST_F(Recent, LeadsNowhereFromOneTableIntoZeros) {
  remember(1, {1, 2, 3, 4, 5});
  words_[2] = 77;
  remember(2, {1, 2, 6, 7});
  auto* bytes = reinterpret_cast<std::byte*>(recent_.get());
  // Page by page: what has been read of the earlier ones leads into those that are 0.
  constexpr size_t kZeroed = sizeof(RecentStacks) / 4096 - 1;  // the last one stays
  for (size_t page = kZeroed; page-- > 0;) {
    EXPECT_LE(find(), 2u);
    std::memset(bytes + page * 4096, 0, 4096);
  }
  EXPECT_EQ(find(), 0u);
}

TEST_F(Recent, ComparesEverySlotAndNothingElse) {
  std::vector<size_t> places;
  for (size_t count = 1; count < 40; ++count) {
    places.push_back(count * 3);
    remember(7, places);
    EXPECT_EQ(find(), 7u);
    words_[count * 3 + 1] = 5;
    EXPECT_EQ(find(), 7u);
    for (size_t place : places) {
      words_[place] ^= 1;
      EXPECT_EQ(find(), 0u) << place;
      words_[place] ^= 1;
    }
  }
  EXPECT_EQ(find(0x402000), 0u);
}

TEST_F(Recent, KeepsStacksThatBeginAlikeApart) {
  // Ten levels with two callers each: all 1,024 paths are known at once.
  auto go = [&](uint32_t path) {
    for (size_t level = 0; level < 10; ++level) words_[level * 7 + 2] = path >> level & 1 ? 0x401234 : 0x40123e;
  };
  std::vector<size_t> places;
  for (size_t level = 0; level < 10; ++level) places.push_back(level * 7 + 2);
  for (int round = 0; round < 12; ++round)
    for (uint32_t path = 0; path < 1024; ++path) {
      go(path);
      uint32_t found = find();
      EXPECT_TRUE(found == 0 || found == path + 1);
      if (!found) remember(path + 1, places);
    }
  int known = 0;
  for (uint32_t path = 0; path < 1024; ++path) {
    go(path);
    known += find() == path + 1;
  }
  EXPECT_EQ(known, 1024);
}

TEST_F(Recent, DependsOnNoWordsThatAreNobodysSlots) {
  // Two shapes; where one has a return address the other has a variable that never stays the same.
  std::mt19937_64 random(1);
  int missed = 0;
  for (int i = 0; i < 2000; ++i) {
    bool first = i % 2;
    words_[1] = first ? 0x401111 : 0x402222;
    words_[9] = first ? 0x403333 + random() % 2 : random();
    words_[11] = first ? random() : 0x404444 + random() % 2;
    uint32_t site = 1 + static_cast<uint32_t>(first ? words_[9] - 0x403333 : 2 + words_[11] - 0x404444);
    uint32_t found = find();
    EXPECT_TRUE(found == 0 || found == site);
    if (found) continue;
    ++missed;
    remember(site, first ? std::vector<size_t>{1, 9} : std::vector<size_t>{1, 11});
  }
  EXPECT_LE(missed, 6);
}

// Each frame's size depends on its return address: shapes fork again and again, and stacks end anywhere.
std::vector<size_t> shape_of(const std::vector<uintptr_t>& calls) {
  std::vector<size_t> places{0};
  for (size_t i = 0; i + 1 < calls.size(); ++i) places.push_back(places.back() + 1 + (calls[i] & 3) * 2);
  return places;
}

TEST_F(Recent, ForksOfShapesCostNoStackItsPlace) {
  std::mt19937_64 random(3);
  std::vector<std::vector<uintptr_t>> stacks;
  for (int i = 0; i < 3000; ++i) {
    std::vector<uintptr_t> calls(2 + random() % 8);
    for (uintptr_t& call : calls) call = 0x401000 + random() % 3;
    calls.back() = 0x402000 + random() % 2;  // the outermost: no stack begins another
    stacks.push_back(calls);
  }
  auto put = [&](const std::vector<uintptr_t>& calls) {
    std::vector<size_t> places = shape_of(calls);
    for (uintptr_t& word : words_) word = random();
    for (size_t i = 0; i < calls.size(); ++i) words_[places[i]] = calls[i];
    return places;
  };
  std::map<std::vector<uintptr_t>, uint32_t> sites;
  size_t learned = 0;
  for (int round = 0; round < 3; ++round) {
    learned = 0;
    for (const auto& calls : stacks) {
      uint32_t& site = sites.try_emplace(calls, static_cast<uint32_t>(sites.size()) + 1).first->second;
      std::vector<size_t> places = put(calls);
      uint32_t found = find();
      ASSERT_TRUE(found == 0 || found == site);
      if (found) continue;
      remember(site, places);
      ASSERT_EQ(find(), site);
      ++learned;
    }
  }
  EXPECT_LT(learned, sites.size() / 100);
}

TEST_F(Recent, MorePathsThanThereIsRoomForAreAnsweredRightOrNotAtAll) {
  std::vector<size_t> places;
  for (size_t level = 0; level < 17; ++level) places.push_back(level * 5);
  size_t known = 0;
  constexpr uint32_t kPaths = 1 << 17;
  for (int round = 0; round < 2; ++round)
    for (uint32_t path = 0; path < kPaths; ++path) {
      for (size_t level = 0; level < 17; ++level) words_[level * 5] = path >> level & 1 ? 0x401234 : 0x40123e;
      uint32_t found = find();
      ASSERT_TRUE(found == 0 || found == path + 1);
      if (!found) remember(path + 1, places);
      ASSERT_EQ(find(), path + 1);
      known += found != 0;
    }
  EXPECT_LT(known, kPaths);
}

TEST_F(Recent, LearnsAnewWhenItsShapesHaveFilledItsMemory) {
  // 700 words each: a thousand such shapes fill it more than once.
  static uintptr_t deep[2048];
  recent_->start(reinterpret_cast<uintptr_t>(deep + std::size(deep)));
  std::vector<Slot> slots(700);
  for (uint32_t shape = 0; shape < 1000; ++shape) {
    uintptr_t sp = reinterpret_cast<uintptr_t>(deep) + shape * sizeof(uintptr_t);
    for (size_t i = 0; i < slots.size(); ++i) slots[i] = {reinterpret_cast<uintptr_t>(&deep[1040 + i]), 0};
    SlotLog log;
    log.slots = slots.data();
    log.size = log.capacity = slots.size();
    recent_->remember({0x401000, sp, kTag}, shape + 1, nullptr, log);
    const RecentStacks::Leaf* leaf = recent_->find(0x401000, sp, kTag);
    ASSERT_TRUE(leaf && leaf->site == shape + 1);
  }
}

TEST_F(Recent, NeverAnswersWrongHoweverItIsUsed) {
  std::mt19937_64 random(2);
  std::map<std::vector<uintptr_t>, uint32_t> sites;
  for (int i = 0; i < 300000; ++i) {
    if (i % 50000 == 49999) recent_->clear();
    // The first word says where the next slot is, and so on: shapes of their own.
    std::vector<size_t> places{0};
    for (size_t at = 0; places.size() < 2 + random() % 6;) {
      words_[at] = 1 + random() % 3;
      at += 1 + words_[at] * 5;
      places.push_back(at);
    }
    words_[places.back()] = 0x401000 + random() % 3;
    size_t noise = random() % 128;
    if (std::find(places.begin(), places.end(), noise) == places.end()) words_[noise] = random();
    std::vector<uintptr_t> key;
    for (size_t at = 0;; at += 1 + words_[at] * 5) {
      key.push_back(words_[at]);
      if (at == places.back()) break;
    }
    uint32_t& site = sites[key];
    if (!site) site = static_cast<uint32_t>(sites.size());
    uint32_t found = find();
    ASSERT_TRUE(found == 0 || found == site);
    if (!found) remember(site, places);
  }
}

TEST_F(Recent, ForgetsEverythingWhenCleared) {
  for (uintptr_t pc = 0x401000; pc < 0x401000 + 5000; ++pc) remember(7, {1, 2}, pc);
  EXPECT_EQ(find(0x401000 + 4999), 7u);
  uint32_t version = recent_->version();
  recent_->clear();
  EXPECT_NE(recent_->version(), version);
  for (uintptr_t pc = 0x401000; pc < 0x401000 + 5000; ++pc) EXPECT_EQ(find(pc), 0u);
}

// Whoever reads an entry looks again if the version has changed.
TEST_F(Recent, ClearingWhatIsEmptyChangesNothing) {
  recent_->clear();
  uint32_t version = recent_->version();
  recent_->start(reinterpret_cast<uintptr_t>(words_ + std::size(words_)));
  recent_->clear();
  EXPECT_EQ(recent_->version(), version);
  remember(7, {1, 2, 3});
  EXPECT_NE(recent_->version(), version);
  recent_->clear();
  version = recent_->version();
  recent_->clear();
  EXPECT_EQ(recent_->version(), version);
}

}  // namespace
}  // namespace unfreed::track
