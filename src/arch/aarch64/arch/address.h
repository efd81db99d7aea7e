// How many bits of an address user space has: AArch64. Linux gives nobody more who does not ask for it.
#pragma once

namespace unfreed::arch {

inline constexpr unsigned kAddressBits = 48;

}  // namespace unfreed::arch
