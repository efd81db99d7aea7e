// How a signal handler returns: x86-64, which the kernel does not know by itself. For base/signal_action.cpp alone.
#pragma once

#include <cstdint>

// Debuggers and unwinders know these very instructions (glibc's __restore_rt).
asm(R"(
  .text
  .balign 16
  nop
  .hidden unfreed_signal_return
  .globl unfreed_signal_return
  .type unfreed_signal_return, @function
unfreed_signal_return:
  movq $15, %rax
  syscall
  .size unfreed_signal_return, . - unfreed_signal_return
)");
extern "C" void unfreed_signal_return();

namespace unfreed::arch {

inline void (*const kSignalReturn)() = unfreed_signal_return;
inline constexpr uint64_t kHasSignalReturn = 0x04000000;  ///< SA_RESTORER

}  // namespace unfreed::arch
