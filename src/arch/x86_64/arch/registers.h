// What a walk starts from besides pc, sp and bp: x86-64, whose return addresses lie on the stack. Part of
// unwind/frame.h.
#pragma once

#include <cstdint>

namespace unfreed::arch {

struct MoreRegisters {};
inline uintptr_t link_register(MoreRegisters) { return 0; }

}  // namespace unfreed::arch
