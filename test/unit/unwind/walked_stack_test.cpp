// The stack that was walked last, by hand: what may be met, and what is kept then.
#include "unwind/walked_stack.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <iterator>
#include <memory>

namespace unfreed::unwind {
namespace {

using State = WalkedStack::State;

class Walked : public testing::Test {
 protected:
  /// The state before frame `i`: sp and the slot that rbp was loaded from lie at words_[10 * i].
  State state(size_t i, uintptr_t bp = 0x1000) {
    return {0x400000 + i, reinterpret_cast<uintptr_t>(&words_[10 * i]),
            bp,           reinterpret_cast<uintptr_t>(&words_[10 * i + 1]),
            false,        false};
  }
  /// Frame `i` is found, and its return address read.
  void take(size_t i, const State& before) {
    stack_->enter(before, frames_, slots_);
    stack_->frame_room()[frames_++] = {before.pc, 1, false};
    stack_->slot_room()[slots_++] = {reinterpret_cast<uintptr_t>(&words_[10 * i + 9]), words_[10 * i + 9]};
  }
  void begin() {
    stack_->begin();
    frames_ = slots_ = 0;
  }
  bool end(bool has_met = false, bool whole = true) { return stack_->end(frames_, slots_, has_met, whole); }
  bool meets(const State& state) {
    stack_->begin();
    return stack_->meets(state, 100);
  }
  /// Frames 0 to 4, of which 3 uses rbp, which 1 has loaded.
  void walk_five() {
    begin();
    for (size_t i = 0; i < 5; ++i) {
      take(i, state(i));
      if (i == 1) stack_->bp_loaded();
      if (i == 3) stack_->bp_used();
    }
    end();
  }

  std::unique_ptr<WalkedStack> stack_ = std::make_unique<WalkedStack>();
  uintptr_t words_[100] = {};
  size_t frames_ = 0;
  size_t slots_ = 0;
};

TEST_F(Walked, MeetsTheSameStateOnly) {
  EXPECT_FALSE(meets(state(0)));
  walk_five();
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(meets(state(i))) << i;
    State other = state(i);
    other.pc += 1;
    EXPECT_FALSE(meets(other)) << i;
    other = state(i);
    other.exact_pc = true;
    EXPECT_FALSE(meets(other)) << i;
    other = state(i);
    other.sp -= 8;
    EXPECT_FALSE(meets(other)) << i;
  }
}

TEST_F(Walked, AsksForRbpOnlyWhereItIsUsedFurtherOut) {
  walk_five();
  for (size_t i = 0; i < 5; ++i) {
    bool matters = i == 2 || i == 3;
    EXPECT_EQ(meets(state(i, 0x2000)), !matters) << i;
    State other = state(i);
    other.bp_slot += 8;
    EXPECT_EQ(meets(other), !matters) << i;
    other = state(i);
    other.bp_logged = true;
    EXPECT_EQ(meets(other), !matters) << i;
    other = state(i);
    other.bp_slot = 0;  // the first registers': another hook's frame
    EXPECT_EQ(meets(other), !matters) << i;
  }
}

// Where the first registers' rbp is to be found in memory is another place for each hook.
TEST_F(Walked, IsNotMetWhereRbpIsStillTheFirst) {
  State first = state(0);
  first.bp_slot = 0;
  begin();
  take(0, first);
  stack_->bp_used();
  end();
  EXPECT_FALSE(meets(first));
  begin();
  take(0, first);
  end();
  EXPECT_TRUE(meets(first)) << "nobody uses it";
}

TEST_F(Walked, LooksAtEveryWordFromThereOn) {
  walk_five();
  words_[10 * 2 + 9] ^= 1;
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(meets(state(i)), i > 2) << i;
  words_[10 * 2 + 9] ^= 1;
  // Further out in the same walk as well, after an attempt that failed.
  words_[10 * 1 + 9] ^= 1;
  stack_->begin();
  EXPECT_FALSE(stack_->meets(state(0), 100));
  EXPECT_FALSE(stack_->meets(state(1), 100));
  EXPECT_TRUE(stack_->meets(state(2), 100));
}

TEST_F(Walked, KeepsWhatIsSharedBehindWhatIsNew) {
  walk_five();
  begin();
  State inner = state(2);
  inner.sp -= 16;
  inner.pc = 0x500000;
  EXPECT_FALSE(stack_->meets(inner, 100));
  take(9, inner);
  EXPECT_TRUE(stack_->meets(state(2), 100));
  EXPECT_FALSE(stack_->meets(state(2), 2)) << "three frames do not fit";
  ASSERT_TRUE(end(true));
  EXPECT_EQ(stack_->shared_frames(), 3u);
  ASSERT_EQ(stack_->frames().size(), 4u);
  EXPECT_EQ(stack_->frames()[0].pc, 0x500000u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(stack_->frames()[1 + i].pc, state(2 + i).pc);
  ASSERT_EQ(stack_->slots().size(), 4u);
  EXPECT_EQ(stack_->slots()[0].address, reinterpret_cast<uintptr_t>(&words_[99]));
  EXPECT_EQ(stack_->slots()[3].address, reinterpret_cast<uintptr_t>(&words_[49]));
  // The whole can be met in turn: rbp, which it passes on, plays its part.
  EXPECT_TRUE(meets(inner));
  inner.bp += 8;
  EXPECT_FALSE(meets(inner));
  EXPECT_TRUE(meets(state(4, 7)));
}

TEST_F(Walked, IsNotMetWhereItIsNotWhole) {
  begin();
  take(0, state(0));
  EXPECT_TRUE(end(false, false));
  EXPECT_EQ(stack_->frames().size(), 1u);
  EXPECT_FALSE(meets(state(0)));
  walk_five();
  stack_->forget();
  EXPECT_FALSE(meets(state(0)));
}

TEST_F(Walked, SaysWhenThereAreTooManyWords) {
  walk_five();
  begin();
  State inner = state(0);
  inner.sp -= 8;
  stack_->enter(inner, 0, 0);
  ASSERT_TRUE(stack_->meets(state(0), 100));
  slots_ = WalkedStack::kMostSlots;
  EXPECT_FALSE(end(true));
  EXPECT_FALSE(meets(state(0)));
}

}  // namespace
}  // namespace unfreed::unwind
