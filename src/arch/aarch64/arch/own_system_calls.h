// System calls that a program's code makes itself, past libc, as they can be recognised in its instructions: a hint, no
// proof.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

namespace unfreed::arch {

/// Where a number is loaded to.
enum class Operand : uint8_t {
  number,    ///< of a system call: x8, or x0, the first argument of a function that makes it
  argument,  ///< its first argument: x0, or x1 of such a function
};

template <class Matches>
bool any_instruction(std::span<const uint8_t> code, Matches matches) {
  for (size_t at = 0; at + 4 <= code.size(); at += 4) {
    uint32_t instruction;
    std::memcpy(&instruction, code.data() + at, sizeof instruction);
    if (matches(instruction)) return true;
  }
  return false;
}

/// Is there an instruction `svc #0`?
inline bool has_system_call(std::span<const uint8_t> code) {
  return any_instruction(code, [](uint32_t instruction) { return instruction == 0xd4000001; });
}

/// Is there an instruction `mov register, #value` (movz, of 32 or 64 bits)?
inline bool loads(std::span<const uint8_t> code, long value, Operand operand) {
  constexpr uint32_t kMovz = 0x52800000, kWide = 0x80000000;
  uint32_t other = operand == Operand::number ? 8 : 1;
  uint32_t moved = kMovz | static_cast<uint32_t>(value) << 5;
  return any_instruction(code, [&](uint32_t instruction) {
    uint32_t narrow = instruction & ~kWide;
    return narrow == moved || narrow == (moved | other);
  });
}

}  // namespace unfreed::arch
