#include "track/python_lines.h"

namespace unfreed::track {

namespace {

using Table = std::span<const uint8_t>;

uint32_t line_of_pairs(Table table, uint32_t first_line, uint32_t instruction) {
  uint32_t address = 0;
  int64_t line = first_line;
  for (size_t at = 0; at + 1 < table.size(); at += 2) {
    address += table[at];
    if (address > instruction) break;
    line += static_cast<int8_t>(table[at + 1]);
  }
  return line > 0 ? static_cast<uint32_t>(line) : 0;
}

uint32_t line_of_ranges(Table table, uint32_t first_line, uint32_t instruction) {
  constexpr int8_t kNoLine = -128;
  uint32_t end = 0;
  int64_t line = first_line;
  for (size_t at = 0; at + 1 < table.size(); at += 2) {
    auto difference = static_cast<int8_t>(table[at + 1]);
    if (difference != kNoLine) line += difference;
    end += table[at];
    if (instruction < end) return difference == kNoLine || line <= 0 ? 0 : static_cast<uint32_t>(line);
  }
  return 0;
}

/// Six bits a byte, the lowest first; bit 6 says that there are more.
uint32_t take_varint(Table table, size_t& at) {
  uint32_t value = 0;
  for (unsigned shift = 0; at < table.size() && shift < 32; shift += 6) {
    uint8_t byte = table[at++];
    value |= uint32_t{byte & 63u} << shift;
    if (!(byte & 64)) break;
  }
  return value;
}
int64_t take_signed(Table table, size_t& at) {
  uint32_t value = take_varint(table, at);
  return value & 1 ? -static_cast<int64_t>(value >> 1) : static_cast<int64_t>(value >> 1);
}

uint32_t line_of_locations(Table table, uint32_t first_line, uint32_t instruction) {
  constexpr unsigned kFirstOneLine = 10, kLastOneLine = 12, kNoColumns = 13, kLong = 14, kNone = 15;
  constexpr uint32_t kUnitBytes = 2;
  uint32_t end = 0;
  int64_t line = first_line;
  for (size_t at = 0; at < table.size();) {
    uint8_t first = table[at++];
    unsigned form = first >> 3 & 15;
    bool has_line = form != kNone;
    if (form >= kFirstOneLine && form <= kLastOneLine) line += form - kFirstOneLine;
    if (form == kNoColumns || form == kLong) line += take_signed(table, at);
    while (at < table.size() && !(table[at] & 128)) ++at;  // columns: an entry begins with bit 7
    end += ((first & 7u) + 1) * kUnitBytes;
    if (instruction < end) return has_line && line > 0 ? static_cast<uint32_t>(line) : 0;
  }
  return 0;
}

}  // namespace

uint32_t python_line(PythonLineForm form, Table table, uint32_t first_line, uint32_t instruction) {
  switch (form) {
    case PythonLineForm::lnotab:
      return line_of_pairs(table, first_line, instruction);
    case PythonLineForm::ranges:
      return line_of_ranges(table, first_line, instruction);
    default:
      return line_of_locations(table, first_line, instruction);
  }
}

}  // namespace unfreed::track
