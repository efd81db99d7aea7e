// What ELF calls x86-64.
#pragma once

#include <elf.h>

#include <cstdint>

namespace unfreed::arch {

inline constexpr uint16_t kElfMachine = EM_X86_64;
/// Of glibc's loader: does it run the resolver of an indirect function as it comes to the reference? Calls of the
/// library's may not have been relocated then; it runs it once more later.
inline constexpr bool kResolvesAtOnce = false;
inline constexpr uint32_t kCallRelocation = R_X86_64_JUMP_SLOT;  ///< of a place that calls go through
inline constexpr uint32_t kTableRelocation = R_X86_64_GLOB_DAT;  ///< of one that holds an address, in a table
inline constexpr uint32_t kWordRelocation = R_X86_64_64;         ///< of one that holds an address, in data

}  // namespace unfreed::arch
