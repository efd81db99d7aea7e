// Shared by mapping.cpp and syscall() (fd_syscall.cpp): mmap, munmap and mremap around their real calls. If
// mappings are not tracked, only the real call is made.
#pragma once

#include <sys/mman.h>

#include "hook/real.h"
#include "track/mappings.h"
#include "track/tracker.h"

namespace unfreed::hook {

/// The arguments of mmap that are recorded.
struct Mmap {
  size_t bytes;
  int protection;
  int flags;
  int fd;
};
/// mmap has succeeded.
void mapped(const void* result, const Mmap& call, Hook function, const unwind::Registers& from);

[[gnu::always_inline]] inline void* mapping(void* result, const Mmap& call, Hook function,
                                            const unwind::Registers& from) {
  if (!track::tracks(ledger::Kind::mapping)) [[likely]]
    return result;
  if (result == MAP_FAILED)
    track::mapping_not_made(hook_number(function), from);
  else
    mapped(result, call, function, from);
  return result;
}

class Unmapping {
 public:
  /// False: nothing is recorded for the range, so nothing ends.
  bool begin(const void* start, size_t bytes);
  void end(bool succeeded);

 private:
  track::Range range_;
  track::TakenMappings taken_;
};

template <class Call>
auto unmapping(const void* start, size_t bytes, Call call) {
  Unmapping unmapping;
  if (!unmapping.begin(start, bytes)) return call();
  auto result = call();
  unmapping.end(result == 0);
  return result;
}

struct Mremap {
  const void* start;
  size_t old_bytes;
  size_t new_bytes;
  int flags;
};
class Remapping {
 public:
  /// False: nothing is recorded for the range, and the result is no new mapping.
  bool begin(const void* start, size_t old_bytes, int flags);
  void end(const void* result, size_t new_bytes, Hook function, const unwind::Registers& from);

 private:
  bool is_copy_ = false;  ///< the old mapping stays
  track::Range range_;
  track::TakenMappings taken_;
};

template <class Call>
void* remapping(const Mremap& request, Hook function, const unwind::Registers& from, Call call) {
  Remapping remapping;
  if (!remapping.begin(request.start, request.old_bytes, request.flags)) return call();
  void* result = call();
  remapping.end(result, request.new_bytes, function, from);
  return result;
}

}  // namespace unfreed::hook
