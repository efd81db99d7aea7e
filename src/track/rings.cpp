#include "track/rings.h"

#include <errno.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/keep_errno.h"
#include "base/lock.h"
#include "base/syscall.h"
#include "track/fd.h"
#include "track/levels.h"
#include "track/sites.h"

namespace unfreed::track {

using ledger::FdOrigin;
using ledger::Kind;

namespace {

// Numbers that are younger than the oldest kernel headers this is built with.
constexpr uint8_t kAccept = 13, kOpenAt = 18, kClose = 19, kOpenAt2 = 28, kSocket = 45, kFixedFdInstall = 54;
constexpr uint8_t kSkipsCompletion = 1u << 6;  // of a request's flags: none if it succeeds
constexpr uint32_t kMore = 1u << 1;            // of a completion's flags: there will be others for the request

/// What is read of entries.
struct Request {
  uint8_t opcode, flags;
  uint16_t priority;
  int32_t fd;
  std::byte unused[24];
  uint64_t user_data;
  uint16_t buffer, personality;
  uint32_t file_index;
};
static_assert(offsetof(Request, user_data) == 32 && offsetof(Request, file_index) == 44);
struct Completion {
  uint64_t user_data;
  int32_t result;
  uint32_t flags;
};

/// A ring of which completions are awaited.
struct Ring {
  std::atomic<const uint32_t*> key;  ///< RingQueues::cq_tail; null: unused
  RingQueues queues;
  uint32_t seen;     ///< completions before this one are taken in
  uint32_t awaited;  ///< requests
};

/// Requests that make descriptors, submitted by one stack with one user_data. Other requests may have the same: which
/// completion is whose cannot be told then, but for its result.
struct Awaited {
  uint64_t user_data;
  uint32_t site;  ///< 0: their descriptors do not count
  uint16_t ring;
  uint16_t count;
  uint32_t others;  ///< requests in flight that make none, seen since
};

/// A request to close.
struct Closing {
  int fd;
  uint32_t looks;  ///< how often it was still open; such a request may have been cancelled
  FdRelease release;
};

constexpr size_t kMostRings = 64, kMostAwaited = 1024, kMostClosing = 1024;
constexpr uint32_t kMostLooks = 64;

constinit base::Lock g_lock;
constinit Ring g_rings[kMostRings]{};
constinit Awaited g_awaited[kMostAwaited]{};
constinit std::atomic<size_t> g_awaited_count;
constinit Closing g_closing[kMostClosing]{};
constinit std::atomic<size_t> g_closing_count;

template <class Type>
Type load(const void* from) {
  Type value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
uint32_t load_index(const uint32_t* index) { return __atomic_load_n(index, __ATOMIC_ACQUIRE); }

bool makes_descriptor(const Request& request) {
  switch (request.opcode) {
    case kAccept:
    case kOpenAt:
    case kOpenAt2:
    case kSocket:
      return request.file_index == 0;  // else it gets a number in the ring's own table
    case kFixedFdInstall:
      return true;
    default:
      return false;
  }
}

bool closes_descriptor(const Request& request) { return request.opcode == kClose && request.file_index == 0; }

const std::byte* entry_at(const RingQueues& ring, uint32_t number) {
  uint32_t index = number & (ring.sq_entries - 1);
  return ring.sqes + size_t{index} * ring.sqe_bytes;
}

Ring* find_ring(const uint32_t* key) {
  for (Ring& ring : g_rings)
    if (ring.key.load(std::memory_order_acquire) == key) return &ring;
  return nullptr;
}

Ring* awaited_ring(const uint32_t* key) { return key ? find_ring(key) : nullptr; }

/// With the lock held.
Ring* ring_to_await(const RingQueues& queues) {
  Ring* ring = find_ring(queues.cq_tail);
  if (!ring) ring = find_ring(nullptr);
  if (!ring || ring->awaited) return ring;
  ring->queues = queues;
  ring->seen = load_index(queues.cq_tail);
  return ring;
}

/// With the lock held. False: there is no room.
bool await(Ring& ring, uint64_t user_data, uint32_t site) {
  auto number = static_cast<uint16_t>(&ring - g_rings);
  size_t count = g_awaited_count.load(std::memory_order_relaxed);
  Awaited* end = g_awaited + count;
  Awaited* same = std::find_if(g_awaited, end, [&](const Awaited& other) {
    return other.user_data == user_data && other.ring == number && other.site == site;
  });
  if (same == end) {
    if (count == kMostAwaited) return false;
    *same = {user_data, site, number, 0, 0};
    g_awaited_count.store(count + 1, std::memory_order_relaxed);
  }
  if (same->count == UINT16_MAX) return false;
  ++same->count;
  ++ring.awaited;
  ring.key.store(ring.queues.cq_tail, std::memory_order_release);
  return true;
}

/// With the lock held.
Awaited* find_awaited(const Ring& ring, uint64_t user_data) {
  auto number = static_cast<uint16_t>(&ring - g_rings);
  Awaited* end = g_awaited + g_awaited_count.load(std::memory_order_relaxed);
  Awaited* one = std::find_if(
      g_awaited, end, [&](const Awaited& other) { return other.user_data == user_data && other.ring == number; });
  return one == end ? nullptr : one;
}

/// With the lock held. All its requests have completed.
void remove(const Ring& ring, Awaited* one) {
  Awaited ended = *one;
  size_t count = g_awaited_count.load(std::memory_order_relaxed);
  *one = g_awaited[count - 1];
  g_awaited_count.store(count - 1, std::memory_order_relaxed);
  if (Awaited* same = find_awaited(ring, ended.user_data)) same->others += ended.others;
}

void end_of(Ring& ring) {
  ring.awaited = 0;
  ring.key.store(nullptr, std::memory_order_release);
}

void forget(Ring& ring) {
  auto number = static_cast<uint16_t>(&ring - g_rings);
  Awaited* end = g_awaited + g_awaited_count.load(std::memory_order_relaxed);
  end = std::remove_if(g_awaited, end, [&](const Awaited& one) { return one.ring == number; });
  g_awaited_count.store(static_cast<size_t>(end - g_awaited), std::memory_order_relaxed);
  end_of(ring);
}

/// With the lock held. True: it needs no further look.
bool settle(Closing& closing) {
  bool is_closed = fd_is_closed(closing.fd);
  bool is_known = closing.release.record->word.load(std::memory_order_acquire) == closing.release.word;
  if (is_closed && is_known) {
    fd_closed(closing.fd, closing.release);
  } else if (is_known) {
    if (++closing.looks < kMostLooks) return false;
    fd_release_ends(closing.fd, closing.release, false);
  }
  return true;
}

void settle_all() {
  size_t kept = 0;
  size_t count = g_closing_count.load(std::memory_order_relaxed);
  for (size_t i = 0; i < count; ++i)
    if (!settle(g_closing[i])) g_closing[kept++] = g_closing[i];
  g_closing_count.store(kept, std::memory_order_relaxed);
}

void note_closing(int fd, const FdRelease& release) {
  size_t count = g_closing_count.load(std::memory_order_relaxed);
  if (!release.word) return;
  if (count == kMostClosing) return g_tracker.writer.drop(ledger::Dropped::closes_full);
  g_closing[count] = {fd, 0, release};
  g_closing_count.store(count + 1, std::memory_order_relaxed);
}

/// The number was made anew: what it was is closed.
void settle_reused(int fd) {
  size_t count = g_closing_count.load(std::memory_order_relaxed);
  for (size_t i = 0; i < count; ++i) {
    if (g_closing[i].fd != fd) continue;
    fd_closed(fd, g_closing[i].release);
    g_closing[i] = g_closing[count - 1];
    g_closing_count.store(count - 1, std::memory_order_relaxed);
    return;
  }
}

/// False: it is not open, or known to have been made otherwise.
bool take(int fd, uint32_t site) {
  if (fd < 0 || !fd_is_open(fd)) return false;
  settle_reused(fd);
  if (fd_origin_known(fd) != FdOrigin::none) return false;
  fd_made(fd, site);
  return true;
}

/// With the lock held. Returns the error, if a request has met a limit.
int take_completion(Ring& ring, const Completion& completion) {
  Awaited* one = find_awaited(ring, completion.user_data);
  if (!one) return 0;
  bool is_taken = take(completion.result, one->site);
  int limit = completion.result == -EMFILE || completion.result == -ENFILE ? -completion.result : 0;
  if (completion.flags & kMore) return limit;
  if (!is_taken && one->others) {
    --one->others;
    return limit;
  }
  --ring.awaited;
  if (--one->count == 0) remove(ring, one);
  return limit;
}

/// With the lock held.
int collect(Ring& ring) {
  const RingQueues& queues = ring.queues;
  int limit = 0;
  uint32_t tail = load_index(queues.cq_tail);
  if (tail - ring.seen > queues.cq_entries) ring.seen = tail - queues.cq_entries;  // the others are overwritten
  for (; ring.seen != tail && ring.awaited; ++ring.seen) {
    size_t index = ring.seen & (queues.cq_entries - 1);
    int met = take_completion(ring, load<Completion>(queues.cqes + index * queues.cqe_bytes));
    if (met) limit = met;
  }
  if (!ring.awaited) end_of(ring);
  return limit;
}

/// Requests that make no descriptor, but whose completions look like those of others that do.
void count_others(const RingQueues& queues, RingEntries entries) {
  base::Hold hold(g_lock);
  const Ring* ring = awaited_ring(queues.cq_tail);
  if (!ring) return;
  for (uint32_t number = entries.first; number != entries.end; ++number) {
    auto request = load<Request>(entry_at(queues, number));
    if (makes_descriptor(request) || request.flags & kSkipsCompletion) continue;
    if (Awaited* same = find_awaited(*ring, request.user_data)) ++same->others;
  }
}

bool can_read(const RingQueues& queues) {
  return base::can_read(queues.cq_tail) && base::can_read(queues.cqes) &&
         base::can_read(queues.cqes + size_t{queues.cq_entries} * queues.cqe_bytes - 1);
}

}  // namespace

void ring_submitting(const RingQueues& ring, RingEntries entries, uint16_t hook, const unwind::Registers& from) {
  if (entries.end - entries.first > ring.sq_entries || !enter(Kind::fd)) return;
  base::KeepErrno keep;
  bool captured = false;
  uint32_t site = 0;
  for (uint32_t number = entries.first; number != entries.end; ++number) {
    auto request = load<Request>(entry_at(ring, number));
    if (closes_descriptor(request)) {
      FdRelease release = fd_release_begins(request.fd, {hook, from});
      base::Hold hold(g_lock);
      note_closing(request.fd, release);
    } else if (makes_descriptor(request)) {
      if (!captured && !t_local.pause_depth) site = capture_site(Kind::fd, hook, from);
      captured = true;
      base::Hold hold(g_lock);
      Ring* awaiting = ring_to_await(ring);
      if (!awaiting || !await(*awaiting, request.user_data, site)) g_tracker.writer.drop(ledger::Dropped::rings_full);
    }
  }
  if (awaited_ring(ring.cq_tail)) count_others(ring, entries);
}

void ring_submitted(const uint32_t* cq_tail, uint16_t hook, const unwind::Registers& from) {
  if (!awaits_completions() || !enter(Kind::fd)) return;
  base::KeepErrno keep;
  int limit = 0;
  {
    base::Hold hold(g_lock);
    if (Ring* awaiting = awaited_ring(cq_tail)) limit = collect(*awaiting);
    settle_all();
  }
  check_level(Kind::fd);
  if (!limit) return;
  errno = limit;
  fd_acquired(-1, hook, from);
}

void ring_ending(const uint32_t* cq_tail) {
  if (!awaits_completions() || !enter(Kind::fd) || !awaited_ring(cq_tail)) return;
  base::KeepErrno keep;
  base::Hold hold(g_lock);
  if (Ring* awaiting = awaited_ring(cq_tail)) {
    if (can_read(awaiting->queues)) collect(*awaiting);
    forget(*awaiting);
  }
}

void collect_from_rings() {
  if (!awaits_completions() || !enter(Kind::fd)) return;
  base::KeepErrno keep;
  for (Ring& ring : g_rings) {
    if (!ring.key.load(std::memory_order_acquire)) continue;
    base::Hold hold(g_lock);
    if (!ring.key.load(std::memory_order_relaxed)) continue;
    if (can_read(ring.queues))
      collect(ring);
    else
      forget(ring);
  }
  base::Hold hold(g_lock);
  settle_all();
}

void reset_rings_after_fork() {
  g_lock.reset();
  for (Ring& ring : g_rings) end_of(ring);
  g_awaited_count.store(0, std::memory_order_relaxed);
  g_closing_count.store(0, std::memory_order_relaxed);
}

bool awaits_completions() {
  return g_awaited_count.load(std::memory_order_relaxed) || g_closing_count.load(std::memory_order_relaxed);
}

}  // namespace unfreed::track
