// System calls that a program's code makes itself, past libc, as they can be recognised in its instructions. Code is
// searched byte by byte, so that what is found may also be something else's middle: a hint, no proof.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

namespace unfreed::arch {

/// Where a number is loaded to.
enum class Operand : uint8_t {
  number,    ///< of a system call: eax, or edi, the first argument of a function that makes it
  argument,  ///< its first argument: edi, or esi of such a function
};

/// Is there an instruction `syscall` (0f 05)?
inline bool has_system_call(std::span<const uint8_t> code) {
  const uint8_t *at = code.data(), *end = at + code.size();
  while (at < end && (at = static_cast<const uint8_t*>(std::memchr(at, 0x05, static_cast<size_t>(end - at))))) {
    if (at > code.data() && at[-1] == 0x0f) return true;
    ++at;
  }
  return false;
}

/// Is there an instruction `mov $value, register` (b8 + number of the register, then the value)?
inline bool loads(std::span<const uint8_t> code, long value, Operand operand) {
  constexpr uint8_t kToEax = 0xb8, kToEsi = 0xbe, kToEdi = 0xbf;
  auto bytes = static_cast<uint32_t>(value);
  const uint8_t *at = code.data() + 1, *end = code.data() + code.size();
  auto first = static_cast<int>(bytes & 0xff);
  while (at + sizeof bytes <= end) {
    at = static_cast<const uint8_t*>(std::memchr(at, first, static_cast<size_t>(end - at)));
    if (!at || at + sizeof bytes > end) return false;
    bool is_value = std::memcmp(at, &bytes, sizeof bytes) == 0;
    uint8_t other = operand == Operand::number ? kToEax : kToEsi;
    if (is_value && (at[-1] == other || at[-1] == kToEdi)) return true;
    ++at;
  }
  return false;
}

}  // namespace unfreed::arch
