// The names in a folder. Allocation-free; async-signal-safe.
#pragma once

#include <dirent.h>
#include <fcntl.h>

#include "base/syscall.h"

namespace unfreed::ledger {

/// Calls `visit(name)` for the entries of the folder `path`, relative to the descriptor `folder`: all, or those that
/// fit into one buffer. False: it cannot be listed. Opens a descriptor meanwhile: in a host's process, block signals.
template <class Visit>
bool each_entry(long folder, const char* path, bool all, Visit visit) {
  using base::raw_syscall;
  long listed = raw_syscall(SYS_openat, folder, reinterpret_cast<long>(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (base::is_error(listed)) return false;
  alignas(dirent64) char buffer[4096];
  long size = 0;
  do {
    size = raw_syscall(SYS_getdents64, listed, reinterpret_cast<long>(buffer), sizeof buffer);
    for (long at = 0; at < size;) {
      const auto& entry = *reinterpret_cast<const dirent64*>(buffer + at);
      at += entry.d_reclen;
      visit(entry.d_name);
    }
  } while (all && size > 0);
  base::close_file(listed);
  return true;
}

}  // namespace unfreed::ledger
