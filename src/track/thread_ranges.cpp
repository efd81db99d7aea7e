#include "track/thread_ranges.h"

#include <atomic>
#include <cstddef>

namespace unfreed::track {

namespace {

constexpr size_t kMostRanges = 4096;

struct Entry {
  std::atomic<uintptr_t> low;  ///< 0: free
  std::atomic<uintptr_t> high;
  std::atomic<uintptr_t> thread;
};
constinit Entry g_entries[kMostRanges];
constinit std::atomic<bool> g_has_entries{false};

}  // namespace

void note_thread_range(const ThreadRange& range) {
  constexpr size_t kMostLooks = 64;
  size_t at = (range.low >> 12) * 0x9e3779b97f4a7c15u >> 52;
  static_assert(kMostRanges == size_t{1} << 12);
  for (size_t looks = 0; looks < kMostLooks; ++looks, at = (at + 1) % kMostRanges) {
    Entry& entry = g_entries[at];
    uintptr_t seen = 0;
    if (!entry.low.compare_exchange_strong(seen, range.low, std::memory_order_relaxed) && seen != range.low) continue;
    entry.high.store(range.high, std::memory_order_relaxed);
    entry.thread.store(range.thread, std::memory_order_release);
    g_has_entries.store(true, std::memory_order_release);
    return;
  }
}

void each_thread_range(void* context, void (*visit)(void*, const ThreadRange&)) {
  if (!g_has_entries.load(std::memory_order_acquire)) return;
  for (const Entry& entry : g_entries)
    if (uintptr_t thread = entry.thread.load(std::memory_order_acquire))
      visit(context, {entry.low.load(std::memory_order_relaxed), entry.high.load(std::memory_order_relaxed), thread});
}

}  // namespace unfreed::track
