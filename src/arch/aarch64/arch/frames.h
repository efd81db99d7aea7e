// How frames are called and interrupted, as far as call frame information does not say: AArch64.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "arch/address.h"

namespace unfreed::arch {

/// A return address without its signature (pointer authentication), which lies in the bits above it. The instruction,
/// xpaclri, does nothing on processors that have no signatures.
inline uintptr_t plain_pc(uintptr_t pc) {
  if (!(pc >> kAddressBits)) [[likely]]
    return pc;
  register uintptr_t link asm("x30") = pc;
  asm("hint #7" : "+r"(link));
  return link;
}

/// The frame record lies anywhere in a frame, mostly at its lower end.
inline constexpr bool kRecordEndsFrame = false;

/// At the instruction to which a handler returns sp points at the kernel's frame: a siginfo_t, then the ucontext
/// (Linux, arch/arm64/kernel/signal.c).
inline constexpr uintptr_t kSignalRegisters = 128 + offsetof(ucontext_t, uc_mcontext) + offsetof(mcontext_t, regs);
inline constexpr uintptr_t kSignalBp = kSignalRegisters + 29 * 8, kSignalLink = kSignalRegisters + 30 * 8,
                           kSignalSp = kSignalRegisters + 31 * 8, kSignalPc = kSignalRegisters + 32 * 8;
static_assert(sizeof(siginfo_t) == 128 &&
              kSignalSp == 128 + offsetof(ucontext_t, uc_mcontext) + offsetof(mcontext_t, sp));

/// Are these the instructions to which handlers return (mov x8, #139; svc #0)? Neither the kernel's nor an emulator's
/// need have call frame information that says so.
inline constexpr size_t kSignalReturnBytes = 8;
inline bool is_signal_return(const uint8_t* code) {
  constexpr uint32_t kInstructions[] = {0xd2801168, 0xd4000001};
  return std::memcmp(code, kInstructions, sizeof kInstructions) == 0;
}

inline constexpr uintptr_t kLongestCall = 4;

inline bool is_direct_call(uint32_t instruction) { return instruction >> 26 == 0x25; }  // bl
/// Where such a call at `place` leads.
inline uintptr_t branch_target(uint32_t instruction, uintptr_t place) {
  auto words = static_cast<int32_t>(instruction << 6) >> 6;
  return place + static_cast<uintptr_t>(static_cast<intptr_t>(words) * 4);
}

/// Does a call instruction end at `pc`, whose code is found at `end`? At least kLongestCall bytes can be read below it.
/// `target`: of a direct one; 0 of another.
inline bool is_behind_call(uintptr_t pc, const uint8_t* end, uintptr_t& target) {
  target = 0;
  uint32_t instruction;
  std::memcpy(&instruction, end - sizeof instruction, sizeof instruction);
  bool is_direct = is_direct_call(instruction);
  if (is_direct) target = branch_target(instruction, pc - sizeof instruction);
  // blr, and those that check a signature (blraa …).
  return is_direct || (instruction & 0xfffffc1f) == 0xd63f0000 || (instruction & 0xfefff800) == 0xd63f0800;
}

}  // namespace unfreed::arch
