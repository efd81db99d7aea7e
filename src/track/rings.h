// Descriptors that io_uring makes and closes. The program writes what it wants into the ring's submission queue, and
// finds the results in its completion queue; both are memory that it shares with the kernel. A call that submits is
// hooked: before it, what is about to be submitted is read. Requests that make descriptors are kept with the stack of
// that call until their completion is seen: after this call, after a later one on the same ring, or before a
// report. A result counts only if the kernel says that the number is open and no hooked function has made it since.
// Requests that have the same user_data are told apart by that.
//
// Not seen: rings of programs without liburing (to read them at every io_uring_enter would cost more than the call),
// descriptors received in messages, rings with entries of mixed size.
#pragma once

#include <cstddef>
#include <cstdint>

#include "unwind/frame.h"

namespace unfreed::track {

// Of io_uring_setup's flags: entries of twice the size; and the first flag that is not known here (entries of two
// sizes).
inline constexpr uint32_t kRingSqe128 = 1u << 10, kRingCqe32 = 1u << 11;
inline constexpr uint32_t kRingFirstUnknownFlag = 18;

/// A ring's queues in the memory of the process.
struct RingQueues {
  const std::byte* sqes;  ///< submission queue entries
  const uint32_t* cq_tail;
  const std::byte* cqes;  ///< completion queue entries
  uint32_t sq_entries;    ///< powers of two
  uint32_t cq_entries;
  uint32_t sqe_bytes;
  uint32_t cqe_bytes;
};

/// Entries of the submission queue: free-running numbers, [first, end).
struct RingEntries {
  uint32_t first;
  uint32_t end;
};

/// These entries are about to be submitted.
void ring_submitting(const RingQueues& ring, RingEntries entries, uint16_t hook, const unwind::Registers& from);
/// The call, which has read the ring's memory, has returned. Completions that are there are taken in. Cheap if nothing
/// is awaited of this ring; `cq_tail` only names it.
void ring_submitted(const uint32_t* cq_tail, uint16_t hook, const unwind::Registers& from);
/// Is a completion awaited, of any ring? Asked at every wait.
bool awaits_completions();
/// The ring's memory is about to go, or has gone before: it is read only if something is awaited, and verified first.
void ring_ending(const uint32_t* cq_tail);

/// Takes in all rings' completions, for a report. Their memory is verified first.
void collect_from_rings();
void reset_rings_after_fork();

}  // namespace unfreed::track
