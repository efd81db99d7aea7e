// What ELF calls aarch64.
#pragma once

#include <elf.h>

#include <cstdint>

namespace unfreed::arch {

inline constexpr uint16_t kElfMachine = EM_AARCH64;

}  // namespace unfreed::arch
