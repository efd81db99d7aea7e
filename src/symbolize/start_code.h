// The code that every process and thread begins in, before anything of the program's own.
#pragma once

#include <algorithm>
#include <iterator>
#include <string_view>

namespace unfreed::symbolize {

inline bool is_start_code(std::string_view function) {
  static constexpr std::string_view kNames[] = {"_start", "start_thread", "__clone3", "clone3", "clone", "__clone"};
  return function.starts_with("__libc_start_") ||
         std::find(std::begin(kNames), std::end(kNames), function) != std::end(kNames);
}

}  // namespace unfreed::symbolize
