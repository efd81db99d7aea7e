#include "elf/runtime_library.h"

namespace unfreed::elf {

namespace {

struct Row {
  std::string_view start;
  RuntimeLibrary library;
};
// Up to 2.33 glibc's files were named by its version: libc-2.31.so.
constexpr Row kRows[] = {
    {"ld-linux", RuntimeLibrary::loader},     {"ld-2.", RuntimeLibrary::loader},
    {"ld.so", RuntimeLibrary::loader},        {"ld-musl", RuntimeLibrary::libc},
    {"libc.so", RuntimeLibrary::libc},        {"libc-2.", RuntimeLibrary::libc},
    {"libpthread.so.", RuntimeLibrary::libc}, {"libpthread-2.", RuntimeLibrary::libc},
    {"libdl.so.", RuntimeLibrary::libc},      {"libdl-2.", RuntimeLibrary::libc},
    {"librt.so.", RuntimeLibrary::libc},      {"librt-2.", RuntimeLibrary::libc},
    {"linux-vdso", RuntimeLibrary::libc},     {"libstdc++.so.", RuntimeLibrary::cxx},
    {"libc++.so", RuntimeLibrary::other},     {"libc++abi.so", RuntimeLibrary::other},
    {"libgcc_s.so.", RuntimeLibrary::other},  {"libm.so.", RuntimeLibrary::other},
    {"libm-2.", RuntimeLibrary::other},
};

}  // namespace

RuntimeLibrary runtime_library(std::string_view name) {
  for (const Row& row : kRows)
    if (name.starts_with(row.start)) return row.library;
  return RuntimeLibrary::none;
}

bool is_own_library(std::string_view name) {
  return name.starts_with("libunfreed.so") || name.starts_with("libunfreed-musl.so");
}

}  // namespace unfreed::elf
