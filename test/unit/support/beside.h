// Files that are built next to a test.
#pragma once

#include <filesystem>
#include <string>

namespace unfreed::test {

inline std::string beside_this_test(const char* name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

}  // namespace unfreed::test
