// Register numbers in unwind information: x86-64 (System V ABI, AMD64, figure 3.36).
#pragma once

#include <cstdint>

namespace unfreed::arch {

inline constexpr uint64_t kSpRegister = 7;
inline constexpr uint64_t kBpRegister = 6;              ///< the frame pointer
inline constexpr uint64_t kReturnAddressRegister = 16;  ///< its column
inline constexpr bool kHasLinkRegister = false;         ///< calls put it on the stack

}  // namespace unfreed::arch
