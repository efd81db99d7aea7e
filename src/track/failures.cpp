#include "track/failures.h"

#include <algorithm>

#include "base/lock.h"
#include "base/syscall.h"
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

/// May the handler be called now? Says so to one caller only.
bool take_turn(ledger::Kind kind, uint64_t live) {
  auto& quiet = g_quiet_until_below[static_cast<size_t>(kind)];
  if (quiet.load(std::memory_order_acquire)) return false;
  uint64_t now = base::monotonic_ns();
  uint64_t last = g_last_call_ns.load(std::memory_order_relaxed);
  if (last && now - last < kBetweenCallsNs) return false;
  if (!g_last_call_ns.compare_exchange_strong(last, now, std::memory_order_acq_rel)) return false;
  // Memory is not counted as a whole: the time alone keeps its reports apart.
  if (kind != ledger::Kind::heap) quiet.store(live - live / 10, std::memory_order_release);
  return true;
}

Failure* find_failure(uint16_t door, int error, uint32_t node) {
  const ledger::Section& table = g_tracker.writer.section(SectionId::failures);
  uint64_t count = std::min(table.count.load(std::memory_order_acquire), table.capacity);
  for (uint64_t i = 0; i < count; ++i) {
    Failure* known = g_tracker.writer.at<Failure>(SectionId::failures, i);
    if (known->door == door && known->error == error && known->node == node) return known;
  }
  return nullptr;
}
}  // namespace

void note_failure(ledger::Kind kind, uint16_t door, int error, const unwind::Registers& from) {
  bool truncated = false;
  uint32_t node = capture_node(from, truncated);
  Failure* failure = find_failure(door, error, node);
  if (!failure) {
    base::Hold hold(g_lock);
    failure = find_failure(door, error, node);
    if (!failure) {
      // Filled in before the count makes it visible.
      auto& count = g_tracker.writer.section(SectionId::failures).count;
      uint64_t number = count.load(std::memory_order_relaxed);
      failure = g_tracker.writer.touch<Failure>(SectionId::failures, number);
      if (!failure) return g_tracker.writer.drop(ledger::Dropped::failures_full);
      failure->door = door;
      failure->error = static_cast<uint16_t>(error);
      failure->node = node;
      failure->first_ns = base::monotonic_ns();
      failure->live_then =
          g_tracker.writer.header().totals[static_cast<size_t>(kind)].live.load(std::memory_order_relaxed);
      failure->tid = base::current_tid();
      failure->kind = static_cast<uint8_t>(kind);
      failure->truncated = truncated;
      count.store(number + 1, std::memory_order_release);
    }
  }
  failure->count.fetch_add(1, std::memory_order_relaxed);
  uint64_t live = g_tracker.writer.header().totals[static_cast<size_t>(kind)].live.load(std::memory_order_relaxed);
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
