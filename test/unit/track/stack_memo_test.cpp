// The memo on stacks made by hand: words in an array stand for the stack, and its logs for the walks.
#include "track/stack_memo.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

namespace unfreed::track {
namespace {

using unwind::Registers;
using unwind::Slot;
using unwind::SlotLog;

class Memo : public testing::Test {
 protected:
  Memo() : memo_(static_cast<StackMemo*>(calloc(1, sizeof(StackMemo))), &free) {}

  /// The log of a "walk" over the words at these places, as they are now.
  SlotLog log_of(const std::vector<size_t>& places) {
    slots_.clear();
    for (size_t place : places) slots_.push_back({reinterpret_cast<uintptr_t>(&words_[place]), words_[place]});
    SlotLog log;
    log.slots = slots_.data();
    log.size = log.capacity = slots_.size();
    return log;
  }
  uint32_t find(uint32_t tag = 1) { return memo_->find(from_, tag, false, miss_); }
  void remember(uint32_t site, const std::vector<size_t>& places, uint32_t tag = 1) {
    miss_ = {};
    ASSERT_EQ(memo_->find(from_, tag, false, miss_), 0u);
    memo_->remember(from_, tag, miss_, site, log_of(places));
  }

  std::unique_ptr<StackMemo, void (*)(void*)> memo_;
  Registers from_{0x401000, 0x7ffc00001000, 0};
  uintptr_t words_[64] = {};
  std::vector<Slot> slots_;
  StackMemo::Searches miss_;
};

TEST_F(Memo, KnowsNothingAtFirst) { EXPECT_EQ(find(), 0u); }

TEST_F(Memo, KnowsTheSameStackAgain) {
  remember(7, {0, 3, 5});
  EXPECT_EQ(find(), 7u);
  from_.sp += 16;
  EXPECT_EQ(find(), 0u);
}

TEST_F(Memo, ComparesWhatTheWalkReadAndNothingElse) {
  remember(7, {0, 3, 5});
  words_[4] = 1;
  EXPECT_EQ(find(), 7u);
  words_[5] = 1;
  EXPECT_EQ(find(), 0u);
  words_[5] = 0;
  EXPECT_EQ(find(), 7u);
}

TEST_F(Memo, ComparesTheFirstBasePointerWhereTheWalkDependedOnIt) {
  from_.bp = 5;
  remember(7, {0, 3});
  from_.bp = 6;
  EXPECT_EQ(find(), 7u) << "the walk did not";
  from_.sp += 16;
  auto remember_of_bp = [&](uint32_t site) {
    ASSERT_EQ(find(), 0u);
    SlotLog log = log_of({0, 3});
    log.depends_on_bp = true;
    memo_->remember(from_, 1, miss_, site, log);
  };
  remember_of_bp(8);
  from_.bp = 9;
  remember_of_bp(9);
  EXPECT_EQ(find(), 9u);
  words_[3] = 1;
  EXPECT_EQ(find(), 0u);
  words_[3] = 0;
  from_.bp = 6;
  EXPECT_EQ(find(), 8u);
}

TEST_F(Memo, KeepsTagsApart) {
  remember(7, {0});
  EXPECT_EQ(find(2), 0u);
  remember(8, {0}, 2);
  EXPECT_EQ(find(1), 7u);
  EXPECT_EQ(find(2), 8u);
}

TEST_F(Memo, TellsManyCallersOfOnePlaceApart) {
  // 1,000 stacks that differ anywhere among ten slots; where a value differs, later slots lie elsewhere.
  std::mt19937 random(1);
  std::vector<std::vector<uintptr_t>> stacks;
  std::vector<size_t> places = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  for (uint32_t i = 1; i <= 1000; ++i) {
    std::vector<uintptr_t> stack;
    for (size_t slot = 0; slot < 10; ++slot) stack.push_back(0x5000 + (i >> slot & 1));
    std::copy(stack.begin(), stack.end(), words_);
    ASSERT_EQ(find(), 0u) << i;
    remember(i, places);
    stacks.push_back(stack);
  }
  std::shuffle(places.begin(), places.end(), random);
  for (uint32_t i = 1; i <= 1000; ++i) {
    std::copy(stacks[i - 1].begin(), stacks[i - 1].end(), words_);
    EXPECT_EQ(find(), i);
  }
}

TEST_F(Memo, StartsAnewWhenItIsFullAndStaysRight) {
  std::vector<size_t> places;
  for (size_t i = 0; i < 60; ++i) places.push_back(i);
  for (uint32_t i = 1; i <= 20000; ++i) {
    from_.sp = 0x7ffc00001000 + i * 16;
    words_[59] = i;
    remember(i, places);
    uint32_t site = find();
    EXPECT_TRUE(site == 0 || site == i) << site;
    words_[0] ^= 1;
    EXPECT_EQ(find(), 0u);
    words_[0] ^= 1;
  }
}

TEST_F(Memo, DoesNotRememberGuesses) {
  SlotLog log = log_of({0, 1});
  log.verifiable = false;
  memo_->remember(from_, 1, {}, 5, log);
  EXPECT_EQ(find(), 0u);
  log.verifiable = true;
  log.overflowed = true;
  memo_->remember(from_, 1, {}, 5, log);
  EXPECT_EQ(find(), 0u);
}

TEST_F(Memo, ForgetsOnRequest) {
  remember(7, {0});
  memo_->clear();
  EXPECT_EQ(find(), 0u);
  remember(8, {0});
  EXPECT_EQ(find(), 8u);
}

}  // namespace
}  // namespace unfreed::track
