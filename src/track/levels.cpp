#include "track/levels.h"

#include <algorithm>

#include "base/keep_errno.h"
#include "base/syscall.h"
#include "track/epochs.h"
#include "track/tracker.h"

namespace unfreed::track {

using ledger::Kind;
using ledger::SectionId;

constinit std::atomic<uint64_t> g_next_level[ledger::kKindSlots] = {
    UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
    UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};

namespace {

struct Known {
  Level level;
  std::atomic<uint64_t> next;  ///< what is to be reached
};
constinit Known g_levels[kMostLevels];
size_t g_level_count;
LevelHandler g_handler;

/// The heap's: what has been allocated since it was last added up, and how much has to be to look again.
std::atomic<uint64_t> g_allocated;
std::atomic<uint64_t> g_look_after{UINT64_MAX};

bool is_heap(const Level& level) { return level.kind == Kind::heap; }

/// The next number of a kind that is counted as a whole.
void set_next(Kind kind) {
  uint64_t next = UINT64_MAX;
  for (size_t at = 0; at < g_level_count; ++at)
    if (g_levels[at].level.kind == kind && !is_heap(g_levels[at].level))
      next = std::min(next, g_levels[at].next.load(std::memory_order_relaxed));
  g_next_level[static_cast<size_t>(kind)].store(next, std::memory_order_relaxed);
}

/// Has this level been reached? Says so to one caller, and doubles it until it has not.
bool take(Known& known, uint64_t live, uint64_t& reached) {
  uint64_t next = known.next.load(std::memory_order_relaxed);
  if (live < next) return false;
  reached = next;
  uint64_t doubled = next;
  while (doubled <= live && doubled <= UINT64_MAX / 2) doubled *= 2;
  return known.next.compare_exchange_strong(next, doubled, std::memory_order_acq_rel);
}

struct HeapSum {
  uint64_t blocks;
  uint64_t bytes;
};

/// What is live of the heap, libc's own left out. False: a thread has ended meanwhile, and moved its counts.
bool add_up_heap(HeapSum& sum) {
  const ledger::Writer& writer = g_tracker.writer;
  const auto& sequence = writer.header().fold_sequence;
  uint32_t before = sequence.load(std::memory_order_acquire);
  int64_t blocks = 0, bytes = 0;
  auto add = [&](const auto& counts) {
    auto value = [](const std::atomic<uint64_t>& count) {
      return static_cast<int64_t>(count.load(std::memory_order_relaxed));
    };
    blocks += value(counts.acquired) - value(counts.released);
    bytes += value(counts.acquired_bytes) - value(counts.released_bytes);
  };
  auto counts_here = [&](uint64_t index) {
    auto* site = writer.known<ledger::Site>(SectionId::sites, index);
    return site && site->kind == static_cast<uint8_t>(Kind::heap) && !(site->flags & ledger::kSiteLibc) ? site
                                                                                                        : nullptr;
  };
  uint64_t sites = writer.section(SectionId::sites).count.load(std::memory_order_acquire);
  for (uint64_t index = 0; index < sites; ++index)
    if (auto* site = counts_here(index)) add(*site);
  uint64_t chunks = writer.section(SectionId::chunk_heads).count.load(std::memory_order_acquire);
  for (uint64_t index = 0; index < chunks; ++index) {
    auto* head = writer.known<ledger::ChunkHead>(SectionId::chunk_heads, index);
    uint32_t base = head ? head->base.load(std::memory_order_acquire) : 0;
    auto* chunk = base ? writer.known<ledger::Chunk>(SectionId::chunks, index) : nullptr;
    for (uint32_t cell = 0; chunk && cell < ledger::kChunkCells; ++cell)
      if (counts_here(uint64_t{base - 1} * ledger::kChunkCells + cell)) add(chunk->cells[cell]);
  }
  if (before & 1 || sequence.load(std::memory_order_acquire) != before || blocks < 0 || bytes < 0) return false;
  unsigned shift = writer.header().sample_bytes ? ledger::kSampledCountShift : 0;
  sum = {static_cast<uint64_t>(blocks) >> shift, static_cast<uint64_t>(bytes) >> shift};
  return true;
}

/// How much must be allocated before a level can have been reached. A level of blocks may be reached by small ones.
uint64_t headroom(const Known& known, const HeapSum& sum) {
  constexpr uint64_t kSmallest = 16;
  uint64_t next = known.next.load(std::memory_order_relaxed);
  uint64_t live = known.level.bytes ? sum.bytes : sum.blocks;
  uint64_t missing = next > live ? next - live : 0;
  // Do not sum at every allocation just below the threshold.
  missing = std::max(missing, next / 64);
  if (!known.level.bytes && __builtin_mul_overflow(missing, kSmallest, &missing)) missing = UINT64_MAX;
  return std::max(missing, kHeapStepBytes);
}

void look_at_heap() {
  HeapSum sum;
  if (!add_up_heap(sum)) return;  // at the next step, then
  uint64_t look_after = UINT64_MAX;
  for (size_t at = 0; at < g_level_count; ++at) {
    Known& known = g_levels[at];
    if (!is_heap(known.level)) continue;
    uint64_t reached = 0;
    if (take(known, known.level.bytes ? sum.bytes : sum.blocks, reached)) g_handler(static_cast<uint32_t>(at), reached);
    look_after = std::min(look_after, headroom(known, sum));
  }
  g_allocated.store(0, std::memory_order_relaxed);
  g_look_after.store(look_after, std::memory_order_relaxed);
}

}  // namespace

void set_level_handler(LevelHandler handler) { g_handler = handler; }

bool add_level(const Level& level) {
  if (g_level_count == kMostLevels) return false;
  Known& known = g_levels[g_level_count++];
  known.level = level;
  known.next.store(std::max<uint64_t>(level.first, 1), std::memory_order_relaxed);
  if (is_heap(level))
    g_look_after.store(kHeapStepBytes, std::memory_order_relaxed);
  else
    set_next(level.kind);
  return true;
}

void level_reached(Kind kind, uint64_t live) {
  base::KeepErrno keep;
  for (size_t at = 0; at < g_level_count; ++at) {
    Known& known = g_levels[at];
    uint64_t reached = 0;
    if (known.level.kind != kind || !take(known, live, reached)) continue;
    set_next(kind);
    g_handler(static_cast<uint32_t>(at), reached);
  }
}

void check_heap_level(uint64_t bytes) {
  note_time(base::coarse_monotonic_ns());
  uint64_t look_after = g_look_after.load(std::memory_order_relaxed);
  if (look_after == UINT64_MAX) return;
  uint64_t allocated = g_allocated.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (allocated < look_after) return;
  // One thread looks; others go on meanwhile.
  if (!g_look_after.compare_exchange_strong(look_after, UINT64_MAX, std::memory_order_acq_rel)) return;
  base::KeepErrno keep;
  look_at_heap();
  uint64_t nobody = UINT64_MAX;
  g_look_after.compare_exchange_strong(nobody, kHeapStepBytes, std::memory_order_acq_rel);
}

void reset_levels_after_fork() {
  bool has_heap = false;
  for (size_t at = 0; at < g_level_count; ++at) {
    Known& known = g_levels[at];
    known.next.store(std::max<uint64_t>(known.level.first, 1), std::memory_order_relaxed);
    has_heap |= is_heap(known.level);
    set_next(known.level.kind);
  }
  g_allocated.store(0, std::memory_order_relaxed);
  if (has_heap) g_look_after.store(kHeapStepBytes, std::memory_order_relaxed);
}

}  // namespace unfreed::track
