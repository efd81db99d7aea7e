#include "track/epochs.h"

#include <algorithm>

#include "base/keep_errno.h"
#include "base/syscall.h"
#include "ledger/history.h"
#include "track/tracker.h"

namespace unfreed::track {

constinit std::atomic<uint64_t> g_next_due_ns{UINT64_MAX};

namespace {

constexpr uint64_t kShortest = 10'000'000, kPartOfAge = 1024;
/// Those above are for marks alone.
constexpr uint32_t kLastTimed = kLastEpoch / 4 * 3;

constinit std::atomic<uint64_t> g_epoch_due_ns{UINT64_MAX};
constinit ledger::History g_history;

/// Both times only grow: of two threads that come here, none can set too late a one.
void set_next_due() {
  g_next_due_ns.store(std::min(g_epoch_due_ns.load(std::memory_order_acquire), g_history.due_ns()),
                      std::memory_order_release);
}

/// When each began; 0: not yet.
constinit std::atomic<uint64_t> g_began_ns[kLastEpoch + 1];

/// The first caller determines when `epoch` began.
void enter_beginning(uint32_t epoch, uint64_t now_ns) {
  uint64_t nobody = 0;
  g_began_ns[epoch].compare_exchange_strong(nobody, now_ns, std::memory_order_acq_rel);
}

void begin_due_epoch(uint64_t now_ns) {
  uint64_t due = g_epoch_due_ns.load(std::memory_order_relaxed);
  if (now_ns < due) return;
  uint64_t age = now_ns - std::min(g_began_ns[1].load(std::memory_order_relaxed), now_ns);
  uint64_t next = now_ns + std::max(kShortest, age / kPartOfAge);
  if (!g_epoch_due_ns.compare_exchange_strong(due, next, std::memory_order_acq_rel)) return;
  uint32_t epoch = g_tracker.heap_epoch.load(std::memory_order_relaxed);
  if (epoch >= kLastTimed) return;
  enter_beginning(epoch + 1, now_ns);
  // If that fails, a mark has just begun one.
  g_tracker.heap_epoch.compare_exchange_strong(epoch, epoch + 1, std::memory_order_acq_rel);
}

}  // namespace

void start_epochs() {
  uint64_t now = base::monotonic_ns();
  g_began_ns[1].store(now, std::memory_order_relaxed);
  g_tracker.heap_epoch.store(1, std::memory_order_relaxed);
  g_epoch_due_ns.store(now + kShortest, std::memory_order_release);
  g_history.start(now);
  set_next_due();
}

void restart_history() {
  g_history.start(base::monotonic_ns());
  set_next_due();
}

uint32_t open_epoch() {
  uint64_t now = base::monotonic_ns();
  uint32_t epoch = g_tracker.heap_epoch.load(std::memory_order_relaxed);
  do {
    if (epoch >= kLastEpoch) return kLastEpoch;
    enter_beginning(epoch + 1, now);
  } while (!g_tracker.heap_epoch.compare_exchange_weak(epoch, epoch + 1, std::memory_order_acq_rel));
  return epoch + 1;
}

void do_what_is_due(uint64_t now_ns) {
  base::KeepErrno keep;
  begin_due_epoch(now_ns);
  if (g_tracker.writer && now_ns >= g_history.due_ns()) g_history.look(g_tracker.writer, now_ns);
  set_next_due();
}

BirthTime birth_time(uint32_t epoch, uint64_t now_ns) {
  uint32_t known = std::clamp(epoch, 1u, kLastEpoch);
  uint64_t from = std::min(g_began_ns[known].load(std::memory_order_acquire), now_ns);
  bool has_ended = known < g_tracker.heap_epoch.load(std::memory_order_acquire);
  uint64_t to = has_ended ? g_began_ns[known + 1].load(std::memory_order_acquire) : now_ns;
  return {from, std::clamp(to, from, now_ns)};
}

}  // namespace unfreed::track
