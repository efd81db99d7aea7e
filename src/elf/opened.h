// A file that may be an ELF file, opened for reading and closed at the end of the scope.
#pragma once

#include "base/regular_file.h"
#include "base/syscall.h"
#include "elf/bytes.h"

namespace unfreed::elf {

/// Larger files are not ELF objects.
inline constexpr uint64_t kMostObjectBytes = uint64_t{4} << 30;

/// Async-signal-safe.
class Opened {
 public:
  explicit Opened(const char* path, long directory = AT_FDCWD)
      : file_(base::open_regular_file(path, kMostObjectBytes, directory)) {}
  ~Opened() {
    if (file_.fd >= 0) base::close_file(file_.fd);
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;

  explicit operator bool() const { return !file_.problem; }
  const base::RegularFile& file() const { return file_; }
  const base::FileProblem& problem() const { return file_.problem; }
  Bytes bytes() const { return Bytes(file_.fd, file_.bytes); }

 private:
  base::RegularFile file_;
};

}  // namespace unfreed::elf
