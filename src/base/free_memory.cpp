#include "base/free_memory.h"

#include <algorithm>
#include <string_view>

#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"

namespace unfreed::base {

namespace {

constexpr uint64_t kUnknown = UINT64_MAX;

/// A file that is one number; kUnknown for any other ("max").
uint64_t read_number_file(const char* path) {
  char text[64];
  long size = read_file(path, text, sizeof text);
  uint64_t value = 0;
  return size > 0 && parse_number(trimmed({text, static_cast<size_t>(size)}), value) ? value : kUnknown;
}

uint64_t left_of(uint64_t limit, uint64_t used) {
  if (limit == kUnknown || used == kUnknown) return kUnknown;
  return limit > used ? limit - used : 0;
}

/// "MemAvailable:   12345678 kB"
uint64_t available_memory() {
  char text[2048];
  long size = read_file("/proc/meminfo", text, sizeof text);
  std::string_view rest(text, size > 0 ? static_cast<size_t>(size) : 0);
  constexpr std::string_view kName = "MemAvailable:";
  size_t at = rest.find(kName);
  if (at == rest.npos) return kUnknown;
  std::string_view value = trimmed(slice(rest, at + kName.size(), 20));
  uint64_t kilobytes = 0;
  return parse_number(slice(value, 0, value.find(' ')), kilobytes) ? kilobytes * 1024 : kUnknown;
}

}  // namespace

uint64_t free_memory() {
  // A container finds its own control group there: version 2, or 1.
  uint64_t in_group =
      left_of(read_number_file("/sys/fs/cgroup/memory.max"), read_number_file("/sys/fs/cgroup/memory.current"));
  if (in_group == kUnknown)
    in_group = left_of(read_number_file("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
                       read_number_file("/sys/fs/cgroup/memory/memory.usage_in_bytes"));
  return std::min(in_group, available_memory());
}

}  // namespace unfreed::base
