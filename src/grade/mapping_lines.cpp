#include "grade/mapping_lines.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/mapping_line.h"
#include "base/syscall.h"
#include "base/text.h"

namespace unfreed::grade {

namespace {

MappingUse use_of(std::string_view name, uint64_t inode) {
  if (name.empty() || name.starts_with("[anon")) return MappingUse::anonymous;  // [anon:NAME]: prctl(PR_SET_VMA)
  if (name == "[heap]") return MappingUse::heap;
  if (name == "[stack]") return MappingUse::stack;
  if (name.starts_with('[')) return MappingUse::kernel;
  if (name.starts_with("/[aio]")) return MappingUse::aio;
  if (name.starts_with("/secretmem")) return MappingUse::secret;
  bool is_device = name.starts_with("/dev/") && !name.starts_with("/dev/shm/") && !name.starts_with("/dev/zero");
  return is_device && inode ? MappingUse::device : MappingUse::file;
}

bool is_memory_file(std::string_view name) {
  constexpr std::string_view kPlaces[] = {"/memfd:", "/dev/zero", "/dev/shm/", "/SYSV"};
  return std::any_of(std::begin(kPlaces), std::end(kPlaces),
                     [&](std::string_view place) { return name.starts_with(place); });
}

}  // namespace

bool parse_mapping(std::string_view line, Mapping& out) {
  base::MappingLine read;
  if (!base::parse_mapping_line(line, read)) return false;
  out = {read.low,
         read.high,
         read.readable,
         read.writable,
         read.executable,
         read.shared,
         use_of(read.name, read.inode),
         is_memory_file(read.name)};
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
