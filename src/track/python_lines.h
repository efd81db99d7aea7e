// CPython's tables of lines: the line of an instruction. They are the program's memory: every step checks its bounds.
#pragma once

#include <cstdint>
#include <span>

namespace unfreed::track {

enum class PythonLineForm : uint8_t {
  lnotab,     ///< up to 3.9: pairs of increments of instruction and line (Objects/lnotab_notes.txt)
  ranges,     ///< 3.10: pairs of a length and a line's difference (PEP 626)
  locations,  ///< from 3.11 on: entries of variable length (Objects/locations.md)
};

/// `instruction`: its offset in bytes. 0: it has no line. Async-signal-safe.
uint32_t python_line(PythonLineForm form, std::span<const uint8_t> table, uint32_t first_line, uint32_t instruction);

}  // namespace unfreed::track
