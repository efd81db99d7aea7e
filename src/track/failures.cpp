#include "track/failures.h"

#include "base/lock.h"
#include "base/syscall.h"
#include "track/counters.h"
#include "track/record_table.h"
#include "track/sites.h"
#include "track/tracker.h"

namespace unfreed::track {

using ledger::Failure;
using ledger::SectionId;

constinit std::atomic<uint64_t> g_quiet_until_below[ledger::kKindCount];

namespace {
constinit base::Lock g_lock;

ExhaustionHandler g_handler;
constexpr uint64_t kBetweenCallsNs = 10'000'000'000;
std::atomic<uint64_t> g_last_call_ns;

/// May the handler be called now? True for one caller only.
bool take_turn(ledger::Kind kind, uint64_t live) {
  auto& quiet = g_quiet_until_below[static_cast<size_t>(kind)];
  if (quiet.load(std::memory_order_acquire)) return false;
  uint64_t now = base::monotonic_ns();
  uint64_t last = g_last_call_ns.load(std::memory_order_relaxed);
  if (last && now - last < kBetweenCallsNs) return false;
  bool is_first = g_last_call_ns.compare_exchange_strong(last, now, std::memory_order_acq_rel);
  // Memory is not counted as a whole: only the time limits how often it is reported.
  if (is_first && kind != ledger::Kind::heap) quiet.store(live - live / 10, std::memory_order_release);
  return is_first;
}

}  // namespace

void note_failure(ledger::Kind kind, uint16_t hook, int error, const unwind::Registers& from) {
  bool truncated = false;
  uint32_t node = capture_node(kind, from, truncated);
  auto same = [&](const Failure& known) { return known.hook == hook && known.error == error && known.node == node; };
  auto fill = [&](Failure& made) {
    made.hook = hook;
    made.error = static_cast<uint16_t>(error);
    made.node = node;
    made.first_ns = base::monotonic_ns();
    made.live_then = totals_of(kind).live.load(std::memory_order_relaxed);
    made.tid = base::current_tid();
    made.kind = static_cast<uint8_t>(kind);
    made.truncated = truncated;
  };
  auto* failure = find_or_add<Failure>(SectionId::failures, ledger::Dropped::failures_full, g_lock, same, fill);
  if (!failure) return;
  failure->count.fetch_add(1, std::memory_order_relaxed);
  uint64_t live = totals_of(kind).live.load(std::memory_order_relaxed);
  if (g_handler && take_turn(kind, live))
    g_handler(static_cast<uint32_t>(failure - g_tracker.writer.at<Failure>(SectionId::failures, 0)));
}

void set_exhaustion_handler(ExhaustionHandler handler) { g_handler = handler; }

void reset_failures_after_fork() {
  g_lock.reset();
  g_last_call_ns.store(0, std::memory_order_relaxed);
  for (auto& quiet : g_quiet_until_below) quiet.store(0, std::memory_order_relaxed);
}

}  // namespace unfreed::track
