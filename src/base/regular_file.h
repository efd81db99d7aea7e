// Reads files whose names somebody else chose (a ledger, a debug link, a variable). Opening one never waits or
// starts anything, and only a regular file of reasonable size is read: a FIFO, a terminal, /dev/zero or a sparse file
// of terabytes is reported as a problem. System calls alone; async-signal-safe.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <span>

#include "base/file_problem.h"

namespace unfreed::base {

struct RegularFile {
  long fd = -1;        ///< the caller closes it
  uint64_t bytes = 0;  ///< 0 also for files of /proc, whose size shows only when they are read
  // As in stat(2); also of a file that exists but could not be opened.
  uint32_t mode = 0, uid = 0, gid = 0;
  FileProblem problem;
};

/// Opens a regular file of at most `most_bytes` for reading; a relative path starts at the open `directory`.
RegularFile open_regular_file(const char* path, uint64_t most_bytes, long directory = AT_FDCWD);

struct ReadResult {
  size_t bytes = 0;
  FileProblem problem;
};

/// Reads a whole regular file into `out`. A file that does not fit is a problem; it is not cut.
ReadResult read_regular_file(const char* path, std::span<char> out);

/// A regular file's bytes, mapped for reading (unmap_memory() ends it); empty on failure. If the file is cut short
/// while it is mapped, what is gone cannot be read.
std::span<const std::byte> map_regular_file(const char* path, uint64_t most_bytes);

inline constexpr const char* kNotRegular = "not a regular file";
inline constexpr const char* kTooLarge = "too large";

}  // namespace unfreed::base
