// Register numbers in unwind information: aarch64 (DWARF for the Arm 64-bit architecture, 4.1).
#pragma once

#include <cstdint>

namespace unfreed::arch {

inline constexpr uint64_t kSpRegister = 31;
inline constexpr uint64_t kBpRegister = 29;             ///< the frame pointer
inline constexpr uint64_t kReturnAddressRegister = 30;  ///< its column
inline constexpr bool kHasLinkRegister = true;          ///< calls leave it there

}  // namespace unfreed::arch
