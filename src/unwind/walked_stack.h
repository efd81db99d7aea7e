// The stack that a thread has walked last, kept so that the next walk can end where the two meet.
//
// Most new stacks share their outer frames with the previous one. A walk is a chain of reads: once it has come
// to a frame with the same state in which an earlier walk entered it, and every word that the earlier walk read from
// there on has its value, the rest would be the same. So the rest is reused: a comparison for each word
// instead of a row for each frame.
//
//     kept, innermost first:    [ … a b c d e f g ]      arrays end with the outermost frame, so what is reused
//     new walk:            x y z ─────┘ meets d          stays where it is, and new frames go before it
//
// One thread at a time. Lies in zeroed memory; the stack's words must be readable whenever a walk is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "unwind/frame.h"

namespace unfreed::unwind {

class WalkedStack {
 public:
  static constexpr size_t kMostFrames = 512;
  static constexpr size_t kMostSlots = 2 * kMostFrames;

  std::span<const Frame> frames() const { return {frames_ + kMostFrames - frame_count_, frame_count_}; }
  std::span<Slot> slots() { return {slots_ + kMostSlots - slot_count_, slot_count_}; }
  /// How many of the outermost frames were reused from the previous walk.
  size_t shared_frames() const { return shared_frames_; }

  /// Nothing is reused from it any more.
  void forget() { step_count_ = 0; }

  /// Room for the frames and words of a walk before they are kept, or of one that does not belong to this stack.
  std::span<Frame> frame_room() { return new_frames_; }
  std::span<Slot> slot_room() { return new_slots_; }

  // For walkers, in this order.

  /// A walker's state before a frame. rbp matters only if it is used before it is loaded again.
  struct State {
    uintptr_t pc;
    uintptr_t sp;
    uintptr_t bp;
    uintptr_t bp_slot;  ///< 0: it is the first registers'
    bool exact_pc;
    bool bp_logged;
  };

  void begin() {
    new_steps_ = 0;
    next_ = kMostSteps - step_count_;
    checked_ = false;
  }
  /// May the walk end here? `most_frames`: the limit for the rest.
  bool meets(const State& state, size_t most_frames);
  /// The frame before which the walk has come to `state`; `frames` and `slots`: how many it has found so far.
  void enter(const State& state, size_t frames, size_t slots);
  void bp_used() { steps_of_walk_[new_steps_ - 1].uses_bp = true; }
  void bp_loaded() { steps_of_walk_[new_steps_ - 1].loads_bp = true; }
  /// Of the frames that are left out where the walk has met, if any: does one return to a pc that `is`?
  template <class Is>
  bool any_left_out_where_met(Is is) const {
    for (size_t i = next_; i + 1 < kMostSteps && steps_[i + 1].frames == steps_[i].frames; ++i)
      if (is(steps_[i].state.pc)) return true;
    return false;
  }
  /// Keeps what is in frame_room() and slot_room() in front of the frames that the walk has met, if any. `whole`: the
  /// next walk may meet it. False: there were too many words.
  bool end(size_t frames, size_t slots, bool has_met, bool whole);

 private:
  static constexpr size_t kMostSteps = kMostFrames + 16;  // the runtime's own frames are not among the frames

  struct Step {
    State state;
    uint16_t frames;  ///< from here on outward; of a walk that is under way: up to here
    uint16_t slots;
    bool uses_bp;
    bool loads_bp;       ///< after having used it, if it does that too
    bool depends_on_bp;  ///< this frame, or one further out that gets it from here
  };

  void check_slots(size_t wanted);

  uint32_t frame_count_;
  uint32_t slot_count_;
  uint32_t step_count_;
  uint32_t shared_frames_;
  uint32_t new_steps_;
  uint32_t next_;         ///< the step to be met next
  uint32_t valid_slots_;  ///< so many of the outermost hold what they held
  bool checked_;
  Frame frames_[kMostFrames];
  Slot slots_[kMostSlots];
  Step steps_[kMostSteps];
  Frame new_frames_[kMostFrames];
  Slot new_slots_[kMostSlots];
  Step steps_of_walk_[kMostSteps];
};

}  // namespace unfreed::unwind
