#include "grade/mapping_lines.h"

#include <cstring>

#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"

namespace unfreed::grade {

namespace {

/// Removes a hexadecimal number and the character behind it.
bool take_field(std::string_view& text, uint64_t& out) {
  if (!base::take_hexadecimal(text, out) || text.empty()) return false;
  text.remove_prefix(1);
  return true;
}

MappingUse use_of(std::string_view name, uint64_t inode) {
  if (name.empty() || name.starts_with("[anon")) return MappingUse::anonymous;  // [anon:NAME]: prctl(PR_SET_VMA)
  if (name == "[heap]") return MappingUse::heap;
  if (name == "[stack]") return MappingUse::stack;
  if (name.starts_with('[')) return MappingUse::kernel;
  bool is_device = name.starts_with("/dev/") && !name.starts_with("/dev/shm/") && !name.starts_with("/dev/zero");
  return is_device && inode ? MappingUse::device : MappingUse::file;
}

}  // namespace

bool parse_mapping(std::string_view line, Mapping& out) {
  uint64_t low, high, offset, major, minor, inode;
  if (!take_field(line, low) || !take_field(line, high) || line.size() < 5) return false;
  std::string_view rights = base::slice(line, 0, 4);
  line.remove_prefix(5);
  if (!take_field(line, offset) || !take_field(line, major) || !take_field(line, minor)) return false;
  size_t blank = line.find(' ');
  if (!base::parse_number(base::slice(line, 0, blank), inode)) return false;
  std::string_view name = blank == line.npos ? std::string_view() : base::trimmed(base::slice(line, blank));
  out = {low, high, rights[0] == 'r', rights[1] == 'w', rights[2] == 'x', rights[3] == 's', use_of(name, inode)};
  return true;
}

bool each_line(const char* path, std::span<char> buffer, void* context, bool (*visit)(void*, std::string_view)) {
  long file = base::open_file(path, O_RDONLY | O_CLOEXEC);
  if (base::is_error(file)) return false;
  size_t held = 0;
  bool goes_on = !buffer.empty();
  while (goes_on) {
    long got = base::raw_syscall(SYS_read, file, reinterpret_cast<long>(buffer.data() + held),
                                 static_cast<long>(buffer.size() - held));
    if (got <= 0) {
      goes_on = got == 0 && held == 0;
      break;
    }
    held += static_cast<size_t>(got);
    std::string_view text(buffer.data(), held);
    for (size_t end; goes_on && (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1))
      goes_on = visit(context, base::slice(text, 0, end));
    if (text.size() == buffer.size()) goes_on = false;  // a line without an end
    std::memmove(buffer.data(), text.data(), text.size());
    held = text.size();
  }
  base::close_file(file);
  return goes_on;
}

}  // namespace unfreed::grade
