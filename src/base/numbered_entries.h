// Reads the numbered entries of a directory of /proc: descriptors, threads.
#pragma once

#include <cstdint>
#include <span>

#include "base/syscall.h"

namespace unfreed::base {

/// The whole of `name` as a number from 0 to INT32_MAX; −1 if it is none.
inline int number_in(const char* name) {
  int64_t number = 0;
  const char* at = name;
  for (; *at >= '0' && *at <= '9' && number <= INT32_MAX; ++at) number = number * 10 + (*at - '0');
  return at == name || *at || number > INT32_MAX ? -1 : static_cast<int>(number);
}

/// Calls `visit(number)` for every name in an open directory that is a number; others are ignored. `buffer`,
/// aligned to 8 bytes, receives the kernel's results. False if the kernel refuses, or as soon as `visit` returns false.
/// Async-signal-safe.
template <class Visit>
bool each_numbered_entry(long directory, std::span<char> buffer, Visit visit) {
  struct Entry {  // as getdents64(2) returns it
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char first_of_name;
  };
  for (;;) {
    long size =
        raw_syscall(SYS_getdents64, directory, reinterpret_cast<long>(buffer.data()), static_cast<long>(buffer.size()));
    if (size <= 0) return size == 0;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer.data() + at);
      at += entry->bytes;
      int number = number_in(&entry->first_of_name);
      if (number >= 0 && !visit(number)) return false;
    }
  }
}

}  // namespace unfreed::base
