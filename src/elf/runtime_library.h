// The libraries that every program brings along, by their file names: libc, its loader, the languages' own. One list
// for all that tells them from a program's code.
// Allocation-free, async-signal-safe.
#pragma once

#include <cstdint>
#include <string_view>

namespace unfreed::elf {

enum class RuntimeLibrary : uint8_t {
  none,
  loader,
  libc,  ///< or a part of it: libpthread, libdl, librt; the kernel's vDSO
  cxx,   ///< libstdc++
  other,
};
/// `name`: without folders.
RuntimeLibrary runtime_library(std::string_view name);

/// Is it this product's own, for programs of either libc? Also of a file that has been deleted since.
bool is_own_library(std::string_view name);

}  // namespace unfreed::elf
