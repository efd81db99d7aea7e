// The frame of a hook: AArch64. Part of unwind/frame.h, which includes it.
#pragma once

namespace unfreed::unwind {

/// The frame of a hook, which tells its caller's registers. It begins with the frame record, of the caller's frame
/// pointer and the return address; where it ends only the compiler knows.
struct HookFrame {
  uintptr_t pc;             ///< the return address, without the signature that it may have on the stack
  const uintptr_t* record;  ///< caller's bp, return address
  uintptr_t caller_sp;
};

/// The frame of the function this is inlined into: call it in the outermost hook itself.
[[gnu::always_inline]] inline HookFrame hook_frame() {
  return {reinterpret_cast<uintptr_t>(__builtin_extract_return_addr(__builtin_return_address(0))),
          static_cast<const uintptr_t*>(__builtin_frame_address(0)),
          reinterpret_cast<uintptr_t>(__builtin_dwarf_cfa())};
}
[[gnu::always_inline]] inline Registers caller_registers(const HookFrame& hook) {
  return {hook.pc, hook.caller_sp, hook.record[0], false, true, {0, hook.record}};
}

/// Where a hook that calls caller_registers() keeps the caller's bp on the stack (until it returns or tail-calls);
/// nullptr: not known.
inline const uintptr_t* saved_bp(const Registers& from) { return from.more.saved_bp; }

}  // namespace unfreed::unwind
