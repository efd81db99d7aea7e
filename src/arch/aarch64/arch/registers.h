// What a walk starts from besides pc, sp and bp: AArch64. Part of unwind/frame.h.
#pragma once

#include <cstdint>

namespace unfreed::arch {

struct MoreRegisters {
  uintptr_t link = 0;                   ///< x30, of an interrupted function; 0: not known
  const uintptr_t* saved_bp = nullptr;  ///< of a hook's caller: where the hook keeps its bp
};
inline uintptr_t link_register(const MoreRegisters& registers) { return registers.link; }

}  // namespace unfreed::arch
