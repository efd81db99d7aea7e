// The words of the unwinder: what a walk starts from, where it may read, and what it yields.
#pragma once

#include <cstddef>
#include <cstdint>

namespace unfreed::unwind {

/// The state in which a function will find itself when its callee returns: where a walk starts.
struct Registers {
  uintptr_t pc;  ///< a return address, unless `exact_pc`
  uintptr_t sp;
  uintptr_t bp;
  bool exact_pc = false;  ///< pc is an instruction's own address (taken from a signal's saved context)
  bool knows_bp = true;   ///< false: bp is not known (the kernel tells of another thread's pc and sp only)
};

/// The memory a walk may read: [low, high).
struct StackBounds {
  uintptr_t low;
  uintptr_t high;
  intptr_t shift = 0;  ///< what to add to an address to find it: not 0 for a copy of the memory
  bool contains(uintptr_t address, size_t bytes) const {
    return address >= low && address < high && high - address >= bytes;
  }
};

/// One physical frame.
struct Frame {
  uintptr_t pc;
  uint32_t module;  ///< number given by the module callback; 0 unknown
  bool exact_pc;
  bool is_owned = false;  ///< what it allocates belongs to what a hooked function makes (owning_call.h)
};

/// A word of stack that a walk's outcome depended on.
struct Slot {
  uintptr_t address;
  uintptr_t value;
};

/// What a walk read, innermost first, so that the same stack can be recognised without walking: while every slot holds
/// its value, a walk from the same registers ends the same way.
struct SlotLog {
  Slot* slots = nullptr;
  size_t capacity = 0;
  size_t size = 0;
  bool overflowed = false;
  /// Holds the first registers' bp: the address that stands for that register where it played a part. Set by whoever
  /// wants the log, where there is one.
  const uintptr_t* initial_bp = nullptr;
  bool depends_on_bp = false;  ///< on the first registers' bp, too, and no initial_bp stands for it
  bool verifiable = true;  ///< false when the walk depended on more than these words
  void add(uintptr_t address, uintptr_t value) {
    if (size < capacity)
      slots[size++] = {address, value};
    else
      overflowed = true;
  }
};

struct WalkResult {
  size_t frames = 0;
  bool truncated = false;  ///< outer frames are missing or guessed
  bool followed_guess = false;  ///< words were read that nothing but a guess led to
};

#if defined(__x86_64__)
/// The frame of a hook, which tells its caller's registers. With __builtin_frame_address the compiler keeps the frame
/// pointer as such:
///   frame[0] caller's bp   frame[1] return address   frame + 2: caller's sp after the return
using HookFrame = const uintptr_t*;

/// The frame of the function this is inlined into: call it in the outermost hook itself.
[[gnu::always_inline]] inline HookFrame hook_frame() { return static_cast<HookFrame>(__builtin_frame_address(0)); }
[[gnu::always_inline]] inline Registers caller_registers(HookFrame frame) {
  return {frame[1], reinterpret_cast<uintptr_t>(frame + 2), frame[0]};
}
#else
/// The return address may lie elsewhere, or be signed.
struct HookFrame {
  uintptr_t pc;
  const uintptr_t* frame;
};
[[gnu::always_inline]] inline HookFrame hook_frame() {
  return {reinterpret_cast<uintptr_t>(__builtin_return_address(0)),
          static_cast<const uintptr_t*>(__builtin_frame_address(0))};
}
[[gnu::always_inline]] inline Registers caller_registers(HookFrame hook) {
  return {hook.pc, reinterpret_cast<uintptr_t>(hook.frame + 2), hook.frame[0]};
}
#endif
/// The registers of the caller of the function this is inlined into.
[[gnu::always_inline]] inline Registers caller_registers() { return caller_registers(hook_frame()); }

/// Where a hook that calls caller_registers() keeps the caller's bp on the stack (until it returns or tail-calls).
inline const uintptr_t* saved_bp(const Registers& from) { return reinterpret_cast<const uintptr_t*>(from.sp) - 2; }

}  // namespace unfreed::unwind
