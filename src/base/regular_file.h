// Reading files whose names somebody else chose (a ledger, a debug link, a variable): opening one waits for nobody and
// starts nothing, and only a regular file of bearable size is read. A FIFO, a terminal, /dev/zero or a sparse file of
// terabytes is a problem told, not a process that hangs. System calls alone; async-signal-safe.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <span>

#include "base/file_problem.h"

namespace unfreed::base {

struct RegularFile {
  long fd = -1;        ///< the caller closes it
  uint64_t bytes = 0;  ///< 0 also for files of /proc, whose size shows only when they are read
  // As in stat(2); of a file that could not be opened as well, if it is there.
  uint32_t mode = 0, uid = 0, gid = 0;
  FileProblem problem;
};

/// Opens a regular file of at most `most_bytes` for reading; a relative path starts at the open `directory`.
RegularFile open_regular_file(const char* path, uint64_t most_bytes, long directory = AT_FDCWD);

struct ReadResult {
  size_t bytes = 0;
  FileProblem problem;
};

/// Reads a whole regular file into `out`. One that does not fit is a problem, not cut.
ReadResult read_regular_file(const char* path, std::span<char> out);

/// A regular file's bytes, mapped for reading (unmap_memory() ends it); empty when it cannot be had. Should the file be
/// cut short while it is mapped, what has gone cannot be read.
std::span<const std::byte> map_regular_file(const char* path, uint64_t most_bytes);

inline constexpr const char* kNotRegular = "not a regular file";
inline constexpr const char* kTooLarge = "too large";

}  // namespace unfreed::base
