// Rings of io_uring that a program operates without liburing's functions for them. Shared by fd_ring.cpp, syscall() and
// mmap.
#pragma once

#include <cstdint>

#include "hook/real.h"
#include "track/rings.h"
#include "unwind/frame.h"

namespace unfreed::hook {

inline constexpr uint32_t kRegisteredFdOnly = 1u << 15;  ///< of io_uring_setup, Linux 6.5: there is no descriptor

/// io_uring_setup has succeeded; `parameters`: struct io_uring_params.
void ring_made(int fd, const void* parameters);
/// It, or liburing's, has failed: `error` is -EMFILE or -ENFILE.
void ring_limit_met(long error, Hook hook, const unwind::Registers& from);

/// The arguments of io_uring_enter that matter.
struct RingEntry {
  int fd;
  uint32_t submitted;
  uint32_t flags;
};
template <class Call>
auto entering_ring(const RingEntry& entry, Hook hook, const unwind::Registers& from, Call call) {
  constexpr uint32_t kRegisteredRing = 1u << 4;  // `fd` is an index among registered rings
  track::RingQueues ring;
  if (!track::has_own_rings() || entry.flags & kRegisteredRing ||
      !track::own_ring_submitting(entry.fd, entry.submitted, hook_number(hook), from, ring))
    return call();
  auto result = call();
  track::ring_submitted(ring.cq_tail, hook_number(hook), from);
  return result;
}

}  // namespace unfreed::hook
