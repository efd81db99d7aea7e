// System calls that a program's code makes itself, past libc, as they can be recognised in its instructions. Code is
// searched byte by byte, so that what is found may also be something else's middle: a hint, no proof.
#pragma once

#include <emmintrin.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace unfreed::arch {

/// Where a number is loaded to.
enum class Operand : uint8_t {
  number,    ///< of a system call: eax, or edi, the first argument of a function that makes it
  argument,  ///< its first argument: edi, or esi of such a function
};

/// Calls `visit(position)` wherever these two bytes follow each other, until it returns true, which is then returned.
template <class Visit>
bool any_pair(std::span<const uint8_t> code, uint8_t first, uint8_t second, Visit visit) {
  constexpr size_t kStep = sizeof(__m128i);
  auto load = [&code](size_t at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(code.data() + at)); };
  const __m128i firsts = _mm_set1_epi8(static_cast<char>(first)), seconds = _mm_set1_epi8(static_cast<char>(second));
  size_t at = 0;
  for (; at + kStep < code.size(); at += kStep) {
    __m128i pairs = _mm_and_si128(_mm_cmpeq_epi8(load(at), firsts), _mm_cmpeq_epi8(load(at + 1), seconds));
    for (auto found = static_cast<uint32_t>(_mm_movemask_epi8(pairs)); found; found &= found - 1)
      if (visit(at + static_cast<size_t>(std::countr_zero(found)))) return true;
  }
  for (; at + 1 < code.size(); ++at)
    if (code[at] == first && code[at + 1] == second && visit(at)) return true;
  return false;
}

/// Is there an instruction `syscall` (0f 05)?
inline bool has_system_call(std::span<const uint8_t> code) {
  return any_pair(code, 0x0f, 0x05, [](size_t) { return true; });
}

/// Is there an instruction `mov $value, register` (b8 + number of the register, then the value)?
inline bool loads(std::span<const uint8_t> code, long value, Operand operand) {
  constexpr uint8_t kToEax = 0xb8, kToEsi = 0xbe, kToEdi = 0xbf;
  auto bytes = static_cast<uint32_t>(value);
  return any_pair(code, bytes & 0xff, bytes >> 8 & 0xff, [&](size_t at) {
    if (at == 0 || at + sizeof bytes > code.size() || std::memcmp(code.data() + at, &bytes, sizeof bytes) != 0)
      return false;
    uint8_t other = operand == Operand::number ? kToEax : kToEsi;
    return code[at - 1] == other || code[at - 1] == kToEdi;
  });
}

}  // namespace unfreed::arch
