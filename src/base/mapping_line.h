// A line of /proc/PID/maps or smaps: proc(5). Allocation-free, async-signal-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace unfreed::base {

struct MappingLine {
  uint64_t low = 0;
  uint64_t high = 0;  ///< one past the end
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool shared = false;
  uint64_t offset = 0;  ///< in the file
  uint64_t inode = 0;
  std::string_view name;  ///< a path, or as "[heap]"; part of the line
};

/// "55d0c8a3b000-55d0c8a5c000 rw-p 00000000 00:00 0                          [heap]". False: it is no such line.
bool parse_mapping_line(std::string_view line, MappingLine& out);

}  // namespace unfreed::base
