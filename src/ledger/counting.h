// Counts of kinds that are counted one by one: the site's and the kind's, with their peaks. Used by all who write a
// ledger. Thread-safe, async-signal-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "ledger/layout.h"

namespace unfreed::ledger {

inline void raise_peak(std::atomic<uint64_t>& peak, uint64_t live) {
  uint64_t seen = peak.load(std::memory_order_relaxed);
  while (live > seen && !peak.compare_exchange_weak(seen, live, std::memory_order_relaxed)) {
  }
}

/// Before a site's count changes: if its kind has had a new peak since it last did, what is live here was live then.
inline void note_peak(const KindTotals& totals, Site& site) {
  auto peak = static_cast<uint32_t>(totals.peak.load(std::memory_order_relaxed));
  if (site.peak_then.load(std::memory_order_relaxed) == peak) return;
  uint64_t live = site.acquired.load(std::memory_order_relaxed) - site.released.load(std::memory_order_relaxed);
  site.live_then.store(static_cast<uint32_t>(live), std::memory_order_relaxed);
  site.peak_then.store(peak, std::memory_order_relaxed);
}

inline void count_acquired(KindTotals& totals, Site& site) {
  note_peak(totals, site);
  uint64_t acquired = site.acquired.fetch_add(1, std::memory_order_relaxed) + 1;
  raise_peak(site.peak, acquired - site.released.load(std::memory_order_relaxed));
  totals.acquired.fetch_add(1, std::memory_order_relaxed);
  raise_peak(totals.peak, totals.live.fetch_add(1, std::memory_order_relaxed) + 1);
}

/// Returns how many of the kind are still live.
inline uint64_t count_released(KindTotals& totals, Site& site) {
  note_peak(totals, site);
  site.released.fetch_add(1, std::memory_order_relaxed);
  return totals.live.fetch_sub(1, std::memory_order_relaxed) - 1;
}

}  // namespace unfreed::ledger
