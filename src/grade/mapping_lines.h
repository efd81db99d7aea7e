// Reads files of /proc line by line: the lists of the process's mappings (maps, smaps) and others. Async-signal-safe.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "grade/memory_map.h"

namespace unfreed::grade {

/// False: it is no such line (base/mapping_line.h).
bool parse_mapping(std::string_view line, Mapping& out);

/// As much as a line may be long, and more.
inline constexpr size_t kLineBytes = 32 * 1024;

/// Calls `visit(line)`, until it returns false. False: it did, or not all could be read. `buffer`: memory to read to.
bool each_line(const char* path, std::span<char> buffer, void* context,
               bool (*visit)(void* context, std::string_view line));
template <class Visit>
bool each_line(const char* path, std::span<char> buffer, Visit visit) {
  return each_line(path, buffer, &visit,
                   [](void* context, std::string_view line) { return (*static_cast<Visit*>(context))(line); });
}

}  // namespace unfreed::grade
