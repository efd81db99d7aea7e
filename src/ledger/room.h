// Room in the file system that ledgers lie in. The program needs it, too (semaphores, POSIX shared memory), and in a
// container there may be little of it: ledgers never take the last. An eighth of the file system stays free, at least 1
// MiB and at most 16 MiB, and 64 files.
#pragma once

#include <sys/statfs.h>

#include <atomic>
#include <cstdint>

namespace unfreed::ledger {

/// Would as much be free as is to stay free, after `bytes` more have been taken?
bool leaves_room(const struct statfs& file_system, uint64_t bytes);

/// What a process may still take. The kernel is asked once for many pages.
class Room {
 public:
  /// Asks about the file system of an open file in `directory`. False: there is no room for `bytes`, and later for
  /// none. One thread at a time.
  bool begin(long file, const char* directory, uint64_t bytes);

  /// Takes `bytes`; false if there is no room. If the file system cannot be found any more (after chroot), nobody
  /// knows, and it is true. Lock-free, async-signal-safe.
  bool take(uint64_t bytes);

 private:
  bool grant(const struct statfs& now, uint64_t bytes);

  const char* directory_ = nullptr;
  struct statfs first_ {};
  std::atomic<int64_t> left_{0};
};

}  // namespace unfreed::ledger
