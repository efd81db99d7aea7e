// Ages that are taken as one: eight classes to each doubling, so that an age is known to within an eighth of it.
#pragma once

#include <cstdint>

namespace unfreed::base {

/// Grows with the age.
constexpr uint32_t age_class(uint64_t age_ns) {
  constexpr unsigned kBits = 3;  // below the highest
  uint64_t microseconds = age_ns / 1000;
  if (microseconds < 1u << kBits) return static_cast<uint32_t>(microseconds);
  unsigned highest = 63 - static_cast<unsigned>(__builtin_clzll(microseconds));
  return (highest - kBits + 1) << kBits |
         static_cast<uint32_t>(microseconds >> (highest - kBits) & ((1u << kBits) - 1));
}
inline constexpr uint32_t kAgeClasses = 512;
static_assert(age_class(UINT64_MAX) < kAgeClasses);

}  // namespace unfreed::base
