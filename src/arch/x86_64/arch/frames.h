// How frames are called and interrupted, as far as call frame information does not say: x86-64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace unfreed::arch {

inline uintptr_t plain_pc(uintptr_t pc) { return pc; }

/// A frame pointer leads to the end of its frame: the caller's sp is what lies behind the frame record.
inline constexpr bool kRecordEndsFrame = true;

/// At the instruction to which a handler returns rsp points at the ucontext: uc_mcontext.gregs starts at byte 40, with
/// rbp, rsp and rip at indexes 10, 15 and 16 (Linux, arch/x86/include/uapi/asm/sigcontext.h).
inline constexpr uintptr_t kSignalBp = 40 + 10 * 8, kSignalSp = 40 + 15 * 8, kSignalPc = 40 + 16 * 8;
inline constexpr uintptr_t kSignalLink = 0;  ///< 0: it has none

/// Are these the instructions to which handlers return (mov $15, %rax; syscall)? Of glibc's, call frame information
/// says so.
#ifdef __GLIBC__
inline constexpr size_t kSignalReturnBytes = 0;
inline bool is_signal_return(const uint8_t*) { return false; }
#else
inline constexpr size_t kSignalReturnBytes = 9;
inline bool is_signal_return(const uint8_t* code) {
  constexpr uint8_t kInstructions[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05};
  return std::memcmp(code, kInstructions, sizeof kInstructions) == 0;
}
#endif

inline constexpr uintptr_t kLongestCall = 7;

/// Does a call instruction end at `pc`, whose code is found at `end`? At least kLongestCall bytes can be read below it.
/// `target`: of a direct one; 0 of another.
inline bool is_behind_call(uintptr_t pc, const uint8_t* end, uintptr_t& target) {
  target = 0;
  if (end[-5] == 0xe8) {  // call rel32
    int32_t distance;
    std::memcpy(&distance, end - 4, sizeof distance);
    target = pc + static_cast<uintptr_t>(static_cast<intptr_t>(distance));
    return true;
  }
  // call r/m64: ff /2, with or without displacement and index byte.
  for (uintptr_t length : {2, 3, 4, 6, 7})
    if (end[-static_cast<intptr_t>(length)] == 0xff && (end[1 - static_cast<intptr_t>(length)] >> 3 & 7) == 2)
      return true;
  return false;
}

}  // namespace unfreed::arch
