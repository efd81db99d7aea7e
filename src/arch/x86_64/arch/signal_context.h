// The registers of a thread that a signal has interrupted, as its handler finds them: x86-64.
#pragma once

#include <errno.h>
#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/syscall.h"
#include "base/waiting_call.h"
#include "unwind/frame.h"

namespace unfreed::arch {

/// Can threads be stopped and a system call that was cut short by it be made again?
inline constexpr bool kKnowsSignalContext = true;

inline uintptr_t stack_pointer(const ucontext_t& context) {
  return static_cast<uintptr_t>(context.uc_mcontext.gregs[REG_RSP]);
}

inline unwind::Registers registers_of(const ucontext_t& context) {
  auto& registers = context.uc_mcontext.gregs;
  return {static_cast<uintptr_t>(registers[REG_RIP]), static_cast<uintptr_t>(registers[REG_RSP]),
          static_cast<uintptr_t>(registers[REG_RBP]), true};
}

/// Where the frame of a signal ends: behind the general registers lie those of the floating-point and vector units.
inline uintptr_t end_of_registers(const ucontext_t& context) {
  constexpr uintptr_t kLegacyBytes = 512, kSoftwareBytesAt = 464;  // struct _fpx_sw_bytes (asm/sigcontext.h)
  constexpr uint32_t kMagic = 0x46505853, kMostBytes = 64 * 1024;
  auto area = reinterpret_cast<uintptr_t>(context.uc_mcontext.fpregs);
  if (!area) return reinterpret_cast<uintptr_t>(&context + 1);
  uint32_t magic_and_size[2];
  std::memcpy(magic_and_size, reinterpret_cast<const void*>(area + kSoftwareBytesAt), sizeof magic_and_size);
  bool is_extended = magic_and_size[0] == kMagic && magic_and_size[1] < kMostBytes;
  return area + (is_extended ? magic_and_size[1] : kLegacyBytes);
}

/// The call that the signal has interrupted, if there is one, and if it is that number, which the registers do not say.
inline base::WaitingCall interrupted_call(const ucontext_t& context, long number) {
  auto& registers = context.uc_mcontext.gregs;
  auto value = [&](int name) { return static_cast<uint64_t>(registers[name]); };
  return {number,
          {value(REG_RDI), value(REG_RSI), value(REG_RDX), value(REG_R10), value(REG_R8), value(REG_R9)},
          stack_pointer(context),
          value(REG_RIP)};
}

/// The number of the call that has just been cut short, where the instruction before it says so, as in most of libc's
/// functions: "mov $NUMBER, %eax; syscall". −1: none was, or it does not. (Code need not be readable.)
inline long number_of_returned_call(const ucontext_t& context) {
  constexpr uintptr_t kBytes = 8;
  if (context.uc_mcontext.gregs[REG_RAX] != -EINTR) return -1;
  auto next = static_cast<uintptr_t>(context.uc_mcontext.gregs[REG_RIP]);
  uint8_t code[kBytes];
  if (base::copy_memory(0, next - kBytes, code, sizeof code) != static_cast<long>(sizeof code)) return -1;
  // Behind a REX prefix it would be another register's (%r8d), and behind a ModRM or SIB byte no instruction at all but
  // the end of one that writes to the stack.
  bool is_other = (code[0] & 0xf0) == 0x40 || code[0] == 0x24;
  int32_t number;
  std::memcpy(&number, code + 2, sizeof number);
  return code[1] == 0xb8 && !is_other && code[6] == 0x0f && code[7] == 0x05 ? number : -1;
}

/// SA_RESTART does not cover every call (signal(7)): one that the signal has cut short is made again. False: it is not.
inline bool make_again(ucontext_t& context, const base::WaitingCall& call) {
  auto& registers = context.uc_mcontext.gregs;
  if (call.number < 0 || registers[REG_RAX] != -EINTR || interrupted_call(context, call.number) != call) return false;
  constexpr uint8_t kInstruction[] = {0x0f, 0x05};
  auto next = static_cast<uintptr_t>(registers[REG_RIP]);
  uint8_t code[sizeof kInstruction];
  if (base::copy_memory(0, next - sizeof code, code, sizeof code) != static_cast<long>(sizeof code) ||
      std::memcmp(code, kInstruction, sizeof code) != 0)
    return false;
  registers[REG_RAX] = call.number;
  registers[REG_RIP] = static_cast<greg_t>(next - sizeof kInstruction);
  return true;
}

/// An argument of the call that is made again, counted from 0.
inline void set_argument(ucontext_t& context, size_t index, uint64_t value) {
  static constexpr int kRegisters[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
  context.uc_mcontext.gregs[kRegisters[index]] = static_cast<greg_t>(value);
}

/// The registers that a function keeps for its caller: what callers of ours have not put on the stack yet.
inline constexpr size_t kKeptRegisters = 6;
[[gnu::always_inline]] inline void save_kept_registers(uintptr_t (&out)[kKeptRegisters]) {
  asm volatile(
      "movq %%rbx, 0(%0)\n\t"
      "movq %%rbp, 8(%0)\n\t"
      "movq %%r12, 16(%0)\n\t"
      "movq %%r13, 24(%0)\n\t"
      "movq %%r14, 32(%0)\n\t"
      "movq %%r15, 40(%0)"
      :
      : "r"(out)
      : "memory");
}

}  // namespace unfreed::arch
