// libdw opens files by names that it reads in others: debug links, separate .dwo files, what dwz has moved elsewhere.
// Each may be a FIFO, a terminal, or a file of terabytes, and libdw would wait for it. It can not be asked to look
// first, but it calls `open`, and the program's own comes before libc's: this one. (meson.build exports it.)
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

#include "base/regular_file.h"
#include "base/syscall.h"
#include "elf/opened.h"
#include "symbolize/libdw.h"

namespace unfreed::symbolize {

/// By its name as linked: in C++ `open` is another word for open64, where files have 64-bit offsets.
extern "C" __attribute__((visibility("default"), noinline)) int open_for_libdw(const char* path, int flags,
                                                                               ...) __asm__("open");

int open_for_libdw(const char* path, int flags, ...) {
  int mode = 0;
  if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, int);
    va_end(arguments);
  }
  bool only_reads = (flags & (O_ACCMODE | O_CREAT | O_PATH | O_DIRECTORY)) == O_RDONLY;
  long result;
  if (only_reads && is_in_libdw(__builtin_return_address(0))) {
    base::RegularFile file = base::open_regular_file(path, elf::kMostObjectBytes);
    // "Not there": libdw goes on to the next place where such a file may be.
    result = !file.problem ? file.fd : file.problem.error ? -file.problem.error : -ENOENT;
  } else {
    result = base::raw_syscall(SYS_openat, AT_FDCWD, reinterpret_cast<long>(path), flags, mode);
  }
  if (!base::is_error(result)) return static_cast<int>(result);
  errno = static_cast<int>(-result);
  return -1;
}

}  // namespace unfreed::symbolize
