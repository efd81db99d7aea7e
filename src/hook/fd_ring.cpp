// io_uring by liburing, which makes its system calls by instructions of its own. (syscall() is in fd_syscall.cpp.)
#include "hook/rings.h"

#include <errno.h>
#include <linux/io_uring.h>

#include "hook/liburing_layout.h"
#include "hook/real.h"
#include "track/fd.h"
#include "track/rings.h"
#include "unwind/objects.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using hook::LiburingRing;
using track::RingQueues;
using unwind::caller_registers;
using unwind::Registers;

namespace {

const LiburingRing& layout(const io_uring* ring) { return *reinterpret_cast<const LiburingRing*>(ring); }

/// False: it is none that this library made, or has another layout. Its pointers must lead into the ring's memory,
/// which is read: only for a ring with entries to submit, as the real call writes to that memory then.
bool queues_of(const LiburingRing& ring, RingQueues& out) {
  auto holds = [&](const void* start, size_t bytes) {
    size_t offset = static_cast<size_t>(static_cast<const std::byte*>(start) - ring.sq.memory);
    return offset <= ring.sq.bytes && bytes <= ring.sq.bytes - offset;
  };
  if (!ring.sq.memory || ring.cq.memory != ring.sq.memory || !ring.sq.sqes) return false;
  if (ring.flags >> track::kRingFirstUnknownFlag || !holds(ring.sq.mask, 4) || !holds(ring.cq.mask, 4)) return false;
  out.sq_entries = *ring.sq.mask + 1;
  out.cq_entries = *ring.cq.mask + 1;
  out.sqe_bytes = ring.flags & track::kRingSqe128 ? 128 : 64;
  out.cqe_bytes = ring.flags & track::kRingCqe32 ? 32 : 16;
  out.sqes = ring.sq.sqes;
  out.cq_tail = ring.cq.tail;
  out.cqes = ring.cq.cqes;
  return holds(out.cq_tail, 4) && holds(out.cqes, size_t{out.cq_entries} * out.cqe_bytes);
}

/// The descriptor of the ring itself, however it was made.
void take_ring(const LiburingRing& ring, Hook hook, const Registers& from) {
  if (track::fd_origin_known(ring.fd) == ledger::FdOrigin::none && track::fd_is_open(ring.fd))
    track::fd_acquired(ring.fd, hook_number(hook), from);
}

/// Has liburing called its own function, behind the hook of another that records?
bool is_inner_call(const Registers& from) {
  unwind::Object object;
  if (!unwind::find_object(from.pc, object)) return false;
  auto function = reinterpret_cast<uintptr_t>(g_real.io_uring_queue_init_params);
  return function >= object.image.low && function < object.image.high;
}

template <class Call>
int making(io_uring* ring, Hook hook, const Registers& from, Call call) {
  int result = call();
  if (result >= 0)
    take_ring(layout(ring), hook, from);
  else if (result == -EMFILE || result == -ENFILE)
    hook::ring_limit_met(result, hook, from);
  return result;
}

template <class Call>
int submitting(io_uring* ring, Hook hook, const Registers& from, Call call) {
  const LiburingRing& about = layout(ring);
  RingQueues queues;
  if (!track::tracks(ledger::Kind::fd)) return call();
  if (about.sq.first != about.sq.end && queues_of(about, queues))
    track::ring_submitting(queues, {about.sq.first, about.sq.end}, hook_number(hook), from);
  int result = call();
  track::ring_submitted(about.cq.tail, hook_number(hook), from);
  return result;
}

/// A function of its own, so that the hook ends in a jump to the real function if nothing is awaited.
[[gnu::noinline]] int waiting(io_uring* ring, io_uring_cqe** entry, unsigned submitted, unsigned wanted, void* mask) {
  int result = g_real.__io_uring_get_cqe(ring, entry, submitted, wanted, mask);
  track::ring_submitted(layout(ring).cq.tail, hook_number(Hook::__io_uring_get_cqe), caller_registers());
  return result;
}

}  // namespace

namespace unfreed::hook {

void ring_limit_met(long error, Hook hook, const Registers& from) {
  int before = errno;
  errno = static_cast<int>(-error);
  track::fd_acquired(-1, hook_number(hook), from);
  errno = before;
}

}  // namespace unfreed::hook

UNFREED_HOOK int io_uring_queue_init(unsigned entries, io_uring* ring, unsigned flags) noexcept {
  return making(ring, Hook::io_uring_queue_init, caller_registers(),
                [&] { return g_real.io_uring_queue_init(entries, ring, flags); });
}
UNFREED_HOOK int io_uring_queue_init_params(unsigned entries, io_uring* ring, io_uring_params* parameters) noexcept {
  Registers from = caller_registers();
  auto call = [&] { return g_real.io_uring_queue_init_params(entries, ring, parameters); };
  return is_inner_call(from) ? call() : making(ring, Hook::io_uring_queue_init_params, from, call);
}
UNFREED_HOOK int io_uring_queue_init_mem(unsigned entries, io_uring* ring, io_uring_params* parameters, void* memory,
                                         size_t bytes) noexcept {
  return making(ring, Hook::io_uring_queue_init_mem, caller_registers(),
                [&] { return g_real.io_uring_queue_init_mem(entries, ring, parameters, memory, bytes); });
}
UNFREED_HOOK void io_uring_queue_exit(io_uring* ring) noexcept {
  const LiburingRing& about = layout(ring);
  track::ring_ending(about.cq.tail);
  int fd = about.fd;
  track::FdRelease release = track::fd_release_begins(fd, {hook_number(Hook::io_uring_queue_exit), caller_registers()});
  g_real.io_uring_queue_exit(ring);
  track::fd_release_ends(fd, release, true);
}

UNFREED_HOOK int io_uring_submit(io_uring* ring) noexcept {
  return submitting(ring, Hook::io_uring_submit, caller_registers(), [&] { return g_real.io_uring_submit(ring); });
}
UNFREED_HOOK int io_uring_submit_and_wait(io_uring* ring, unsigned wanted) noexcept {
  return submitting(ring, Hook::io_uring_submit_and_wait, caller_registers(),
                    [&] { return g_real.io_uring_submit_and_wait(ring, wanted); });
}
UNFREED_HOOK int io_uring_submit_and_wait_timeout(io_uring* ring, io_uring_cqe** entry, unsigned wanted, void* timeout,
                                                  sigset_t* mask) noexcept {
  return submitting(ring, Hook::io_uring_submit_and_wait_timeout, caller_registers(),
                    [&] { return g_real.io_uring_submit_and_wait_timeout(ring, entry, wanted, timeout, mask); });
}
UNFREED_HOOK int io_uring_submit_and_get_events(io_uring* ring) noexcept {
  return submitting(ring, Hook::io_uring_submit_and_get_events, caller_registers(),
                    [&] { return g_real.io_uring_submit_and_get_events(ring); });
}
UNFREED_HOOK int io_uring_submit_and_wait_min_timeout(io_uring* ring, io_uring_cqe** entry, unsigned wanted,
                                                      void* timeout, unsigned least_us, sigset_t* mask) noexcept {
  return submitting(ring, Hook::io_uring_submit_and_wait_min_timeout, caller_registers(), [&] {
    return g_real.io_uring_submit_and_wait_min_timeout(ring, entry, wanted, timeout, least_us, mask);
  });
}
UNFREED_HOOK int io_uring_submit_and_wait_reg(io_uring* ring, io_uring_cqe** entry, unsigned wanted,
                                              int region) noexcept {
  return submitting(ring, Hook::io_uring_submit_and_wait_reg, caller_registers(),
                    [&] { return g_real.io_uring_submit_and_wait_reg(ring, entry, wanted, region); });
}
UNFREED_HOOK int __io_uring_get_cqe(io_uring* ring, io_uring_cqe** entry, unsigned submitted, unsigned wanted,
                                    void* mask) noexcept {
  return track::awaits_completions() ? waiting(ring, entry, submitted, wanted, mask)
                                     : g_real.__io_uring_get_cqe(ring, entry, submitted, wanted, mask);
}

UNFREED_HOOK int io_uring_setup(unsigned entries, io_uring_params* parameters) noexcept {
  int fd = g_real.io_uring_setup(entries, parameters);
  if (fd >= 0 && !(parameters->flags & hook::kRegisteredFdOnly)) {
    track::fd_acquired(fd, hook_number(Hook::io_uring_setup), caller_registers());
  } else if (fd == -EMFILE || fd == -ENFILE) {
    hook::ring_limit_met(fd, Hook::io_uring_setup, caller_registers());
  }
  return fd;
}
