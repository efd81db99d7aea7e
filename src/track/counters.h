// Counts acquisitions and releases by site. The heap counts in per-thread cells (plain adds in the ledger, summed by
// readers); kinds whose calls enter the kernel anyway count on the site itself, which also gives them an exact
// peak.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/add_owned.h"
#include "ledger/counting.h"
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

/// For descriptors, threads and children: the site's and the kind's counts with their peaks.
inline void count_acquired_with_peak(ledger::Kind kind, uint32_t site) {
  ledger::count_acquired(totals_of(kind), site_at(site));
}
inline void count_released_with_peak(ledger::Kind kind, uint32_t site) {
  note_live_count(kind, ledger::count_released(totals_of(kind), site_at(site)));
}

/// Counts a release of something that was never seen acquired.
void count_foreign_release(ledger::Kind kind);

/// Moves a finished thread's cells into the sites and frees its chunks. Returns their balance.
NetHeap fold_counters(ThreadState& state);

/// Fork child: resets the chunk bookkeeping.
void reset_counters_after_fork();

}  // namespace unfreed::track
