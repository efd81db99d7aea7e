// Thresholds at which a report is written (UNFREED_REPORT_AT), and again each time the count has doubled. Kinds that
// are counted as a whole are compared at each acquisition. The heap is counted by thread and site, so its counts are
// summed only when enough has been allocated since the last time to have reached the threshold. All are thread-safe and
// async-signal-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ledger/layout.h"
#include "track/counters.h"

namespace unfreed::track {

/// What is compared: how many of a kind are live, or their bytes (the heap's only).
struct Level {
  ledger::Kind kind = ledger::Kind::fd;
  bool bytes = false;
  uint64_t first = 0;  ///< reached when there are at least as many
};

/// `level` is its number as it was added; `value` what was reached. Called where the resource was acquired; returns
/// soon.
using LevelHandler = void (*)(uint32_t level, uint64_t value);
void set_level_handler(LevelHandler handler);

inline constexpr size_t kMostLevels = 16;
/// At the start. False: there are too many.
bool add_level(const Level& level);

/// The lowest number of each kind that has not been reached; UINT64_MAX for none.
extern std::atomic<uint64_t> g_next_level[ledger::kKindSlots];
void level_reached(ledger::Kind kind, uint64_t live);
/// After something of the kind has been acquired, and entered.
inline void check_level(ledger::Kind kind) {
  uint64_t live = totals_of(kind).live.load(std::memory_order_relaxed);
  if (live >= g_next_level[static_cast<size_t>(kind)].load(std::memory_order_relaxed)) [[unlikely]]
    level_reached(kind, live);
}

/// The heap's: true once in so many bytes that one thread has allocated at one site, whose count is `after` then.
inline constexpr uint64_t kHeapStepBytes = 64 * 1024;
[[gnu::always_inline]] inline bool is_heap_step(uint64_t after, uint64_t bytes) {
  return after % kHeapStepBytes < bytes;
}
/// `bytes` more may be live than when it was last called. Not with a thread's counters in use. Notes the time, too.
void check_heap_level(uint64_t bytes);

void reset_levels_after_fork();

}  // namespace unfreed::track
