// File names that refer to a descriptor of the process itself.
#pragma once

#include <string_view>

#include "base/scan.h"
#include "base/text.h"

namespace unfreed::base {

/// N for /dev/fd/N and /proc/self/fd/N; 0, 1 and 2 for /dev/stdin, /dev/stdout and /dev/stderr; −1 for other names.
/// It is better to use the number than to open such a name: opening creates another open file, with a position of its
/// own, and fails for a socket.
inline int descriptor_of(std::string_view path) {
  if (path == "/dev/stdin") return 0;
  if (path == "/dev/stdout") return 1;
  if (path == "/dev/stderr") return 2;
  for (std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (path.starts_with(folder)) return parse_id(slice(path, folder.size()));
  }
  return -1;
}

}  // namespace unfreed::base
