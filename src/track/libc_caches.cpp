#include "track/libc_caches.h"

#include <atomic>

#include "track/counters.h"
#include "track/heap.h"
#include "track/heap_index.h"
#include "track/tracker.h"

namespace unfreed::track {

namespace {

bool is_undecided(uint32_t site) {
  return (site_at(site).flags & (ledger::kSiteWithinLibc | ledger::kSiteLibc)) == ledger::kSiteWithinLibc;
}

/// The undecided site of a block that is counted one by one. 0: it is none.
uint32_t undecided_site_of(uintptr_t address) {
  Block block;
  bool counts = g_heap_index.find_block(address, block) && !block.ignored && !block.sampled;
  return counts && is_undecided(block.site) ? block.site : 0;
}

}  // namespace

bool has_undecided_blocks(std::span<const ledger::Counts> counts) {
  for (size_t site = 1; site < counts.size(); ++site)
    if (counts[site].acquired > counts[site].released && is_undecided(static_cast<uint32_t>(site))) return true;
  return false;
}

void give_to_libc(std::span<const uintptr_t> blocks, std::span<ledger::Counts> counts) {
  for (uintptr_t block : blocks) {
    uint32_t site = undecided_site_of(block);
    if (site && site < counts.size()) ++counts[site].released;
  }
  // A stack that leads to nothing but caches will do so again.
  for (uint32_t site = 1; site < counts.size(); ++site)
    if (counts[site].acquired > 0 && counts[site].acquired == counts[site].released && is_undecided(site))
      std::atomic_ref(site_at(site).flags).fetch_or(ledger::kSiteLibc, std::memory_order_relaxed);
  for (uintptr_t block : blocks)
    if (undecided_site_of(block)) heap_ignore(reinterpret_cast<const void*>(block));
}

}  // namespace unfreed::track
