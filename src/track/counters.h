// Counts acquisitions and releases by site. The heap counts in per-thread cells (plain adds in the ledger, summed by
// readers); kinds whose calls enter the kernel anyway count on the site itself, which also gives them an exact
// peak.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/add_owned.h"
#include "ledger/layout.h"
#include "track/failures.h"
#include "track/thread_state.h"
#include "track/tracker.h"

namespace unfreed::track {

using base::add_owned;

/// The thread's cell for `site`, made on first use; null if the ledger is full (count on the site then).
ledger::Cell* make_cell(ThreadState& state, uint32_t site);

inline ledger::Cell* cell_of(ThreadState& state, uint32_t site) {
  ledger::Chunk* chunk = state.chunks[site / ledger::kChunkCells];
  if (chunk) [[likely]]
    return &chunk->cells[site % ledger::kChunkCells];
  return make_cell(state, site);
}

inline ledger::Site& site_at(uint32_t site) {
  return *g_tracker.writer.at<ledger::Site>(ledger::SectionId::sites, site);
}

/// Counts on the site itself, from any thread.
void count_acquired_shared(uint32_t site, uint64_t blocks, uint64_t bytes);
void count_released_shared(uint32_t site, uint64_t blocks, uint64_t bytes);

inline ledger::KindTotals& totals_of(ledger::Kind kind) {
  return g_tracker.writer.header().totals[static_cast<size_t>(kind)];
}

inline void raise_peak(std::atomic<uint64_t>& peak, uint64_t live) {
  uint64_t seen = peak.load(std::memory_order_relaxed);
  while (live > seen && !peak.compare_exchange_weak(seen, live, std::memory_order_relaxed)) {
  }
}

/// Before a site's count changes: if its kind has had a new peak since it last did, what is live here was live then.
inline void note_peak(const ledger::KindTotals& totals, ledger::Site& site) {
  auto peak = static_cast<uint32_t>(totals.peak.load(std::memory_order_relaxed));
  if (site.peak_then.load(std::memory_order_relaxed) == peak) return;
  uint64_t live = site.acquired.load(std::memory_order_relaxed) - site.released.load(std::memory_order_relaxed);
  site.live_then.store(static_cast<uint32_t>(live), std::memory_order_relaxed);
  site.peak_then.store(peak, std::memory_order_relaxed);
}

/// For descriptors, threads and children: the site's and the kind's counts with their peaks.
inline void count_acquired_with_peak(ledger::Kind kind, uint32_t site) {
  ledger::Site& counts = site_at(site);
  note_peak(totals_of(kind), counts);
  uint64_t acquired = counts.acquired.fetch_add(1, std::memory_order_relaxed) + 1;
  raise_peak(counts.peak, acquired - counts.released.load(std::memory_order_relaxed));
  ledger::KindTotals& totals = totals_of(kind);
  totals.acquired.fetch_add(1, std::memory_order_relaxed);
  raise_peak(totals.peak, totals.live.fetch_add(1, std::memory_order_relaxed) + 1);
}
inline void count_released_with_peak(ledger::Kind kind, uint32_t site) {
  ledger::Site& counts = site_at(site);
  note_peak(totals_of(kind), counts);
  counts.released.fetch_add(1, std::memory_order_relaxed);
  note_live_count(kind, totals_of(kind).live.fetch_sub(1, std::memory_order_relaxed) - 1);
}

/// Counts a release of something that was never seen acquired.
void count_foreign_release(ledger::Kind kind);

/// Moves a finished thread's cells into the sites and frees its chunks. Returns their balance.
NetHeap fold_counters(ThreadState& state);

/// Fork child: resets the chunk bookkeeping.
void reset_counters_after_fork();

}  // namespace unfreed::track
