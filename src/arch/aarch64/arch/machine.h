// What ELF calls aarch64.
#pragma once

#include <elf.h>

#include <cstdint>

namespace unfreed::arch {

inline constexpr uint16_t kElfMachine = EM_AARCH64;
inline constexpr uint32_t kCallRelocation = R_AARCH64_JUMP_SLOT;  ///< of a place that calls go through

}  // namespace unfreed::arch
