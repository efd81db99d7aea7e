#include "track/failures.h"

#include <algorithm>

#include "base/lock.h"
#include "base/syscall.h"
#include "track/sites.h"
#include "track/tracker.h"

namespace unfreed::track {

using ledger::Failure;
using ledger::SectionId;

namespace {
constinit base::Lock g_lock;

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
      if (!failure) return;
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
}

void reset_failures_after_fork() { g_lock.reset(); }

}  // namespace unfreed::track
