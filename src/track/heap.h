// The heap's verbs: a hook reports here what has happened to a block. They alone decide whether it is tracked.
// All are async-signal-safe, keep errno and allocate nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "track/counters.h"
#include "track/heap_index.h"
#include "track/live_since.h"
#include "track/sites.h"
#include "track/tracker.h"
#include "unwind/frame.h"

namespace unfreed::track {

/// The slow path of heap_released: no state yet, forked, at the thread's end, at a site where this thread has never
/// counted …
void heap_released_slowly(void* block);
/// A hooked function returned null.
void heap_failed(size_t bytes, uint16_t hook, const unwind::Registers& from);

/// Is a block of this size skipped, in a heap that is sampled or not tracked? Called before the real call; if so,
/// nothing more needs to be done. (A failure to get such a block goes unnoticed.)
[[gnu::always_inline]] inline bool heap_passes_over(size_t bytes) {
  // Read once: a signal handler that allocates in between may make a gap a little longer, but not endless.
  volatile size_t& gap = t_local.sample_gap;
  size_t counted = bytes + (bytes == 0), before = gap;
  if (counted >= before) [[likely]]
    return false;
  gap = before - counted;
  return true;
}

/// Is a block that is about to be freed one of the skipped ones?
[[gnu::always_inline]] inline bool heap_passed_over(const void* block) {
  if (g_tracker.heap_use == HeapUse::every_block) return false;
  return g_tracker.heap_use == HeapUse::none || !g_heap_index.may_be_sampled(reinterpret_cast<uintptr_t>(block));
}

/// `block` (of the requested size) now belongs to the hook's caller. Call after the real function; null is a failure,
/// and recorded. Out of line: there are many hooked functions, and each is short without it.
[[gnu::hot]] void heap_acquired(void* block, size_t bytes, uint16_t hook, unwind::HookFrame frame);

/// `block` is about to be freed. Call before the real function: the address may be handed out again at once.
/// False: it needs the slow path, and nothing has been done.
[[gnu::always_inline]] inline bool heap_released_simply(void* block) {
  ThreadState* state = t_local.active;
  if (!state || !g_fork_page.alive.load(std::memory_order_relaxed)) [[unlikely]]
    return false;
  uint32_t site;
  uint64_t bytes;
  std::atomic<uint64_t>* word = g_heap_index.find_simply(reinterpret_cast<uintptr_t>(block), site, bytes);
  if (!word) [[unlikely]]
    return false;
  ledger::Chunk* chunk = state->chunks[site / ledger::kChunkCells];
  if (!chunk) [[unlikely]]
    return false;
  word->store(0, std::memory_order_relaxed);
  ledger::Cell& cell = chunk->cells[site % ledger::kChunkCells];
  add_owned(cell.released, 1);
  add_owned(cell.released_bytes, bytes);
  return true;
}
[[gnu::always_inline]] inline void heap_released(void* block) {
  if (block && !heap_released_simply(block) && !heap_passed_over(block)) heap_released_slowly(block);
}

/// While a thread has one, the index has its block neither at the old address nor at the new one.
class BlockMove {
 public:
  BlockMove() : outer_(t_local.move_frame) { t_local.move_frame = reinterpret_cast<uintptr_t>(this); }
  ~BlockMove() { t_local.move_frame = outer_; }
  BlockMove(const BlockMove&) = delete;
  BlockMove& operator=(const BlockMove&) = delete;

 private:
  uintptr_t outer_;  ///< in a signal handler during another one
};
/// Is the calling thread, whose stack pointer is `sp`, in a realloc? A longjmp out of one does not end it.
bool is_moving_block(uintptr_t sp);
/// The same for another thread, which waits with that stack pointer, if its stack is known (track/thread_ranges.h).
bool is_moving_block_elsewhere(uintptr_t sp);

/// A block during realloc: detached before the real call, and restored unchanged if that fails.
struct Detached {
  Block block;
  bool known = false;
};
Detached heap_detached(void* block);
void heap_reattached(void* block, const Detached& detached);
/// The realloc succeeded: the detached block is gone.
void heap_dropped(void* block, const Detached& detached);

/// The program requests that this block is not counted. False: unknown.
bool heap_ignore(const void* block);

/// An allocation of `bytes` has failed. In a process whose address space is short, the heap index is unmapped, and the
/// heap is no longer tracked. True: the allocation may succeed now. Async-signal-safe.
bool give_up_heap_index(size_t bytes);

/// Adds the live blocks that were born at `epoch` or later.
void heap_live_since(uint32_t epoch, LiveSince& out);

}  // namespace unfreed::track
