// The registers of a thread that a signal has interrupted: AArch64.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>

#include "base/waiting_call.h"
#include "unwind/frame.h"

namespace unfreed::arch {

/// Not written yet: threads are not stopped.
inline constexpr bool kKnowsSignalContext = false;

inline uintptr_t stack_pointer(const ucontext_t& context) { return context.uc_mcontext.sp; }
inline unwind::Registers registers_of(const ucontext_t& context) {
  auto& registers = context.uc_mcontext;
  return {registers.pc, registers.sp, registers.regs[29], true, true, {registers.regs[30], nullptr}};
}
inline uintptr_t end_of_registers(const ucontext_t& context) { return reinterpret_cast<uintptr_t>(&context + 1); }

inline long number_of_returned_call(const ucontext_t&) { return -1; }
inline base::WaitingCall interrupted_call(const ucontext_t&, long) { return {}; }
inline bool make_again(ucontext_t&, const base::WaitingCall&) { return false; }
inline void set_argument(ucontext_t&, size_t, uint64_t) {}

/// The registers that a function keeps for its caller.
inline constexpr size_t kKeptRegisters = 10;
[[gnu::always_inline]] inline void save_kept_registers(uintptr_t (&out)[kKeptRegisters]) {
  asm volatile(
      "stp x19, x20, [%0]\n\t"
      "stp x21, x22, [%0, #16]\n\t"
      "stp x23, x24, [%0, #32]\n\t"
      "stp x25, x26, [%0, #48]\n\t"
      "stp x27, x28, [%0, #64]"
      :
      : "r"(out)
      : "memory");
}

}  // namespace unfreed::arch
