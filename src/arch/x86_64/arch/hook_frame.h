// The frame of a hook: x86-64. Part of unwind/frame.h, which includes it.
#pragma once

namespace unfreed::unwind {

/// The frame of a hook, which tells its caller's registers. With __builtin_frame_address the compiler keeps the frame
/// pointer as such:
///   frame[0] caller's bp   frame[1] return address   frame + 2: caller's sp after the return
using HookFrame = const uintptr_t*;

/// The frame of the function this is inlined into: call it in the outermost hook itself.
[[gnu::always_inline]] inline HookFrame hook_frame() { return static_cast<HookFrame>(__builtin_frame_address(0)); }
[[gnu::always_inline]] inline Registers caller_registers(HookFrame frame) {
  return {frame[1], reinterpret_cast<uintptr_t>(frame + 2), frame[0]};
}

/// Where a hook that calls caller_registers() keeps the caller's bp on the stack (until it returns or tail-calls).
inline const uintptr_t* saved_bp(const Registers& from) { return reinterpret_cast<const uintptr_t*>(from.sp) - 2; }

}  // namespace unfreed::unwind
