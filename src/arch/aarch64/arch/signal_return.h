// How a signal handler returns: AArch64, where the kernel knows.
#pragma once

#include <cstdint>

namespace unfreed::arch {

inline void (*const kSignalReturn)() = nullptr;
inline constexpr uint64_t kHasSignalReturn = 0;

}  // namespace unfreed::arch
