// What ELF calls x86-64.
#pragma once

#include <elf.h>

#include <cstdint>

namespace unfreed::arch {

inline constexpr uint16_t kElfMachine = EM_X86_64;

}  // namespace unfreed::arch
