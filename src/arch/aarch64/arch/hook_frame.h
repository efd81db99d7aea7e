// The frame of a hook: aarch64. Part of unwind/frame.h, which includes it.
#pragma once

namespace unfreed::unwind {

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

}  // namespace unfreed::unwind
