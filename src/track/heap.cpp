#include "track/heap.h"

#include <pthread.h>

#include <algorithm>

#include "base/address_space.h"
#include "base/syscall.h"
#include "track/epochs.h"
#include "track/failures.h"
#include "track/levels.h"
#include "track/sampling.h"
#include "track/thread_ranges.h"

namespace unfreed::track {

using ledger::Kind;

namespace {

/// What a block counts for.
struct Amount {
  uint64_t blocks;
  uint64_t bytes;
};

/// `sign`: 1 when it is acquired, −1 when it is released. Keeps the variance of what is live.
Amount amount_of(const Block& block, int sign) {
  if (!block.sampled) return {1, block.size_bytes};
  SampleWeight weight = sample_weight(block.size_bytes, g_tracker.sample_bytes);
  ledger::Header& header = g_tracker.writer.header();
  add_shared(header.sample_variance_blocks, sign * weight.blocks_variance);
  add_shared(header.sample_variance_bytes, sign * weight.bytes_variance);
  return {weight.blocks, weight.blocks * block.size_bytes};
}

/// In a sampled heap: is this block tracked? If so, draws the distance to the next one.
bool takes_sample(size_t bytes) {
  if (!t_local.sample_random)
    t_local.sample_random = (base::monotonic_ns() ^ static_cast<uint64_t>(base::current_tid()) << 40 ^
                             reinterpret_cast<uintptr_t>(&t_local) << 8) |
                            1;
  if (!t_local.sample_gap) t_local.sample_gap = draw_gap(t_local.sample_random, g_tracker.sample_bytes);
  if (heap_passes_over(bytes)) return false;
  t_local.sample_gap = draw_gap(t_local.sample_random, g_tracker.sample_bytes);
  return true;
}

/// Counts a release on a thread's account where it has one that may be used.
void count_released(ThreadState* state, const Block& block) {
  if (block.ignored) return;
  Amount amount = amount_of(block, -1);
  ledger::Cell* cell = state ? cell_of(*state, block.site) : nullptr;
  if (!cell) return count_released_shared(block.site, amount.blocks, amount.bytes);
  add_owned(cell->released, amount.blocks);
  add_owned(cell->released_bytes, amount.bytes);
}
void count_released(const Block& block) {
  StateUse use;
  count_released(use.state(), block);
}

/// Blocks that were not sampled are not known, nor those of a fork child's parent, nor those of a guarded call.
bool may_be_unknown() {
  return g_tracker.heap_use == HeapUse::sampled || g_tracker.has_unseen_past || t_local.heap_guard;
}

}  // namespace

namespace {

/// One more block at a stack that this thread has taken blocks at before: false if the slow path is needed. (Each
/// counter moves by a single instruction: see recall().)
[[gnu::always_inline]] inline bool heap_acquired_again(const ThreadState& state, void* block, size_t bytes,
                                                       uint16_t hook, const unwind::Registers& from) {
  Recalled known;
  if (!recall(state, Kind::heap, hook, from, known) || !known.cell) [[unlikely]]
    return false;
  if (!g_heap_index.put_simply(reinterpret_cast<uintptr_t>(block), known.site,
                               g_tracker.heap_epoch.load(std::memory_order_relaxed), bytes)) [[unlikely]]
    return false;
  add_owned(known.cell->acquired, 1);
  add_owned(known.cell->acquired_bytes, bytes);
  if (is_heap_step(known.cell->acquired_bytes.load(std::memory_order_relaxed), bytes)) [[unlikely]]
    check_heap_level(std::max<uint64_t>(bytes, kHeapStepBytes));
  return true;
}

/// The block itself is not counted, but blocks that it points to may be in use.
void keep_uncounted(void* block, size_t bytes, bool in_use) {
  if (!block || g_tracker.heap_use != HeapUse::every_block) return;
  auto address = reinterpret_cast<uintptr_t>(block);
  Block uncounted{0, g_tracker.heap_epoch.load(std::memory_order_relaxed), true, bytes, false, in_use};
  if (g_heap_index.put(address, uncounted)) return;
  Block displaced;
  if (g_heap_index.take(address, displaced)) count_released(displaced);
  g_heap_index.put(address, uncounted);
}

/// No state yet, guarded, paused, forked, at the thread's end, a stack that is new …
[[gnu::noinline]] void heap_acquired_slowly(void* block, size_t bytes, uint16_t hook, unwind::HookFrame frame) {
  if (g_tracker.heap_use == HeapUse::none) {
    t_local.sample_gap = SIZE_MAX;  // from here on this thread's blocks are passed over
    return;
  }
  unwind::Registers from = unwind::caller_registers(frame);
  // Draw even if the block is not tracked: later samples must not depend on which calls were untracked.
  bool sampling = g_tracker.heap_use == HeapUse::sampled, taken = !sampling || takes_sample(bytes);
  if (!enter(Kind::heap)) return;
  if (t_local.heap_guard) return keep_uncounted(block, bytes, false);
  if (!block) return heap_failed(bytes, hook, from);
  if (t_local.pause_depth || t_local.heap_pause_depth) return keep_uncounted(block, bytes, true);
  if (!taken) return;
  note_time(base::coarse_monotonic_ns());
  end_use_left_behind(from);
  {
    StateUse use;
    ThreadState* state = use.state();
    uint32_t site =
        state ? recall_or_capture(*state, Kind::heap, hook, from) : capture_without_state(Kind::heap, hook, from);
    auto address = reinterpret_cast<uintptr_t>(block);
    Block fresh{site, g_tracker.heap_epoch.load(std::memory_order_relaxed), false, bytes, sampling};
    if (!g_heap_index.put(address, fresh)) {
      Block displaced;
      if (g_heap_index.take(address, displaced)) count_released(state, displaced);
      if (!g_heap_index.put(address, fresh)) {
        g_tracker.writer.drop(ledger::Dropped::heap_index_full);
        return cover_partly(Kind::heap, "there was no memory for the heap index");
      }
    }
    Amount amount = amount_of(fresh, 1);
    ledger::Cell* cell = state ? cell_of(*state, site) : nullptr;
    if (cell) {
      add_owned(cell->acquired, amount.blocks);
      add_owned(cell->acquired_bytes, amount.bytes);
    } else {
      count_acquired_shared(site, amount.blocks, amount.bytes);
    }
  }
  if (!t_local.active) refresh_active();
  check_heap_level(bytes);
}

}  // namespace

void heap_acquired(void* block, size_t bytes, uint16_t hook, unwind::HookFrame frame) {
  const ThreadState* state = t_local.active;
  if (!state || !heap_acquired_again(*state, block, bytes, hook, unwind::caller_registers(frame))) [[unlikely]]
    heap_acquired_slowly(block, bytes, hook, frame);
}

void heap_released_slowly(void* block) {
  // Releases are followed even while acquisitions are paused or guarded: the index must not keep what is gone.
  if (!enter(Kind::heap)) return;
  Block known;
  if (!g_heap_index.take(reinterpret_cast<uintptr_t>(block), known)) {
    if (!may_be_unknown()) count_foreign_release(Kind::heap);
    return;
  }
  count_released(known);
}

bool is_moving_block(uintptr_t sp) {
  uintptr_t frame = t_local.move_frame;
  bool is_past = t_local.state && t_local.state->is_own_stack(sp) && t_local.state->is_own_stack(frame) && sp > frame;
  return frame && !is_past;
}

bool is_moving_block_elsewhere(uintptr_t sp) {
  uintptr_t offset = reinterpret_cast<uintptr_t>(&t_local) - reinterpret_cast<uintptr_t>(pthread_self());
  bool is_moving = false;
  each_thread_range([&](const ThreadRange& range) {
    if (sp >= range.low && sp < range.high)
      is_moving = reinterpret_cast<const ThreadLocal*>(range.thread + offset)->move_frame != 0;
  });
  return is_moving;
}

Detached heap_detached(void* block) {
  Detached detached;
  if (block && enter(Kind::heap))
    detached.known = g_heap_index.take(reinterpret_cast<uintptr_t>(block), detached.block);
  return detached;
}

void heap_reattached(void* block, const Detached& detached) {
  if (detached.known) g_heap_index.put(reinterpret_cast<uintptr_t>(block), detached.block);
}

void heap_dropped(void* block, const Detached& detached) {
  if (detached.known)
    count_released(detached.block);
  else if (block && enter(Kind::heap) && !may_be_unknown())
    count_foreign_release(Kind::heap);
}

bool heap_ignore(const void* address) {
  if (!address || !enter(Kind::heap)) return false;
  Block block;
  if (!g_heap_index.ignore(reinterpret_cast<uintptr_t>(address), block)) return may_be_unknown();
  count_released(block);  // not if it was ignored before
  return true;
}

void heap_failed(size_t bytes, uint16_t hook, const unwind::Registers& from) {
  // A request for an absurd size is a probe or another bug; memory has not run out.
  if (bytes < size_t{1} << 46) note_failure(Kind::heap, hook, 12 /* ENOMEM */, from);
}

bool give_up_heap_index(size_t bytes) {
  if (!g_heap_index.is_compact() || !enter(Kind::heap)) return false;
  if (bytes > base::limit_of_address_space()) return false;  // a probe: it cannot succeed
  if (!g_heap_index.give_back()) return false;
  g_tracker.heap_use = HeapUse::none;
  g_tracker.writer.cover(Kind::heap, ledger::Coverage::unavailable,
                         "the limit on address space was reached, and unfreed gave up its heap index");
  return true;
}

void heap_live_since(uint32_t epoch, LiveSince& out) {
  struct Search {
    uint32_t epoch;
    LiveSince& out;
  } search{epoch, out};
  g_heap_index.each(&search, [](void* context, uintptr_t, const Block& block) {
    auto& [since, sum] = *static_cast<Search*>(context);
    if (block.ignored || block.epoch < since) return;
    if (!block.sampled) return sum.add(block.site, block.size_bytes);
    uint64_t blocks = sample_weight(block.size_bytes, g_tracker.sample_bytes).blocks;
    sum.add_estimate(block.site, blocks, blocks * block.size_bytes);
  });
}

}  // namespace unfreed::track
