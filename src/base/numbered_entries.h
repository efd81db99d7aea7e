// Reads the numbered entries of a directory of /proc: descriptors, threads.
#pragma once

#include <cstdint>
#include <span>

#include "base/scan.h"
#include "base/syscall.h"

namespace unfreed::base {

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
      int number = parse_id(&entry->first_of_name);
      if (number >= 0 && !visit(number)) return false;
    }
  }
}

}  // namespace unfreed::base
