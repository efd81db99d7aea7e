// Since when a thread waits in a call with a relative time limit. Where a signal of the runtime cuts the call short, it
// is made again with what is left of the time: with all of it, a program that is asked for reports again and again
// would never see its time run out.
#pragma once

#include <time.h>

#include <cstddef>
#include <cstdint>

#include "base/syscall.h"

namespace unfreed::track {

/// The wait that the calling thread is in.
struct Wait {
  uintptr_t frame;    ///< of the hook; 0: none
  uintptr_t key;      ///< an argument of the call by which it is recognised: the address of what it waits for
  uint64_t began_ns;  ///< CLOCK_MONOTONIC
  uint64_t whole_ns;  ///< of the first call; 0: not known yet
  uint64_t given;     ///< the limit that the call was last made with, as an argument; 0: as the program made it
  timespec rest;      ///< for a call that takes the address of one

  /// Is it the call that is made with this stack pointer?
  bool is_below(uintptr_t sp) const {
    constexpr uintptr_t kMostBytes = 1024;  // of libc's frames
    return frame > sp && frame - sp < kMostBytes;
  }
  uint64_t left_ns() const {
    uint64_t passed = base::monotonic_ns() - began_ns;
    return whole_ns > passed ? whole_ns - passed : 0;
  }
};
[[gnu::visibility("hidden")]] extern thread_local constinit Wait t_wait;

/// Lives for as long as the real call takes. If that never returns (thread cancellation, a jump out of a signal
/// handler), what is left behind matches no other call: another hooked one replaces it, and one that has no hook has
/// another key.
class TimedWait {
 public:
  /// `whole_ns`: as far as it is an argument; else 0.
  TimedWait(const void* frame, const void* key, uint64_t whole_ns) : outer_(t_wait) {
    t_wait = {
        reinterpret_cast<uintptr_t>(frame), reinterpret_cast<uintptr_t>(key), base::monotonic_ns(), whole_ns, 0, {}};
  }
  ~TimedWait() { t_wait = outer_; }
  TimedWait(const TimedWait&) = delete;
  TimedWait& operator=(const TimedWait&) = delete;

 private:
  Wait outer_;
};

}  // namespace unfreed::track
