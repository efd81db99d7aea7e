#include "base/mapping_line.h"

#include "base/scan.h"
#include "base/text.h"

namespace unfreed::base {

namespace {

/// Removes a hexadecimal number and the character behind it.
bool take_field(std::string_view& text, uint64_t& out) {
  if (!take_hexadecimal(text, out) || text.empty()) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

bool parse_mapping_line(std::string_view line, MappingLine& out) {
  uint64_t low, high, offset, major, minor, inode;
  if (!take_field(line, low) || !take_field(line, high) || line.size() < 5) return false;
  std::string_view rights = slice(line, 0, 4);
  line.remove_prefix(5);
  if (!take_field(line, offset) || !take_field(line, major) || !take_field(line, minor)) return false;
  if (!take_number(line, inode) || (!line.empty() && !is_blank(line[0]))) return false;
  while (!line.empty() && is_blank(line[0])) line.remove_prefix(1);
  out = {low, high, rights[0] == 'r', rights[1] == 'w', rights[2] == 'x', rights[3] == 's', offset, inode, line};
  return true;
}

}  // namespace unfreed::base
