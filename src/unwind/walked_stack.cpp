#include "unwind/walked_stack.h"

#include <cstring>

namespace unfreed::unwind {

/// Of the `wanted` outermost words. Once for a walk: further out fewer are wanted.
void WalkedStack::check_slots(size_t wanted) {
  if (checked_) return;
  checked_ = true;
  valid_slots_ = 0;
  const Slot* end = slots_ + kMostSlots;
  while (valid_slots_ < wanted) {
    const Slot& slot = *(end - 1 - valid_slots_);
    if (*reinterpret_cast<const volatile uintptr_t*>(slot.address) != slot.value) break;
    ++valid_slots_;
  }
}

bool WalkedStack::meets(const State& state, size_t most_frames) {
  while (next_ < kMostSteps && steps_[next_].state.sp < state.sp) ++next_;
  if (next_ == kMostSteps) return false;
  const Step& step = steps_[next_];
  if (step.state.sp != state.sp || step.state.pc != state.pc || step.state.exact_pc != state.exact_pc) return false;
  bool same_bp = state.bp == step.state.bp && state.bp_slot == step.state.bp_slot && state.bp_slot &&
                 state.bp_logged == step.state.bp_logged;
  if (step.depends_on_bp && !same_bp) return false;
  if (step.frames > most_frames) return false;
  check_slots(step.slots);
  return valid_slots_ >= step.slots;
}

void WalkedStack::enter(const State& state, size_t frames, size_t slots) {
  // Beyond the last step only the last is kept; end() sees that they were too many.
  if (new_steps_ < kMostSteps) ++new_steps_;
  steps_of_walk_[new_steps_ - 1] = {state, static_cast<uint16_t>(frames), static_cast<uint16_t>(slots), false, false,
                                    false};
}

bool WalkedStack::end(size_t frames, size_t slots, bool has_met, bool whole) {
  size_t kept_steps = has_met ? kMostSteps - next_ : 0;
  size_t kept_frames = has_met ? steps_[next_].frames : 0;
  size_t kept_slots = has_met ? steps_[next_].slots : 0;
  bool depends_on_bp = has_met && steps_[next_].depends_on_bp;
  shared_frames_ = static_cast<uint32_t>(kept_frames);
  frame_count_ = static_cast<uint32_t>(kept_frames + frames);
  std::memcpy(frames_ + kMostFrames - frame_count_, new_frames_, frames * sizeof(Frame));
  step_count_ = 0;
  if (kept_slots + slots > kMostSlots) {
    slot_count_ = 0;
    return false;
  }
  slot_count_ = static_cast<uint32_t>(kept_slots + slots);
  std::memcpy(slots_ + kMostSlots - slot_count_, new_slots_, slots * sizeof(Slot));
  if (!whole || new_steps_ + kept_steps >= kMostSteps) return true;
  Step* to = steps_ + kMostSteps - kept_steps;
  for (size_t i = new_steps_; i-- > 0;) {
    Step step = steps_of_walk_[i];
    step.frames = static_cast<uint16_t>(frame_count_ - step.frames);
    step.slots = static_cast<uint16_t>(slot_count_ - step.slots);
    step.depends_on_bp = depends_on_bp = step.uses_bp || (!step.loads_bp && depends_on_bp);
    *--to = step;
  }
  step_count_ = static_cast<uint32_t>(new_steps_ + kept_steps);
  return true;
}

}  // namespace unfreed::unwind
