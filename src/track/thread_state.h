// The runtime's state for each thread of the process: in memory of its own, reached through one initial-exec
// thread-local of trivial type. Nothing here is ever destroyed; states are handed from finished threads to new ones.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ledger/layout.h"
#include "track/recent_stacks.h"
#include "track/stack_memo.h"
#include "unwind/frame.h"
#include "unwind/walked_stack.h"

namespace unfreed::track {

inline constexpr uint32_t kMostSites = 2u << 20;
inline constexpr uint32_t kMostFrames = 512;  ///< UNFREED_DEPTH's limit
static_assert(kMostFrames <= unwind::WalkedStack::kMostFrames);
static_assert(unwind::WalkedStack::kMostSlots <= RecentStacks::kMostSlots);

struct ThreadState {
  /// Of the thread's own stack. First, since that part of it which a fork child finds zeroed then lies, in the first
  /// state, beside other memory of that kind (base/own_memory.h): one mapping less for the kernel to copy.
  RecentStacks recent;

  /// Counter cells by site / kChunkCells; null until the thread touches one of those sites.
  ledger::Chunk* chunks[kMostSites / ledger::kChunkCells];
  uint16_t used_chunks[kMostSites / ledger::kChunkCells];  ///< indexes of the non-null ones
  uint32_t used_chunk_count;

  unwind::StackBounds bounds;  ///< the thread's own stack
  int32_t tid;
  int32_t record;  ///< index in the ledger's thread table; −1 none

  uint32_t generation;  ///< ForkPage::generation that what is remembered of stacks is true of
  StackMemo foreign;    ///< of stacks that are not the thread's own

  unwind::WalkedStack walked;          ///< of the thread's own
  uint32_t walked_nodes[kMostFrames];  ///< its frames', from the outermost in …
  uint32_t walked_count;               ///< … as far as they are known

  std::atomic<ThreadState*> next_free;
  ThreadState* next_made;  ///< of all states

  bool is_own_stack(uintptr_t sp) const { return sp >= bounds.low && sp < bounds.high; }

  /// Where every megabyte counts (base/address_space.h), only the parts that may come to be touched are mapped. Calls
  /// `visit(start, bytes)` for them, in their order.
  template <class Visit>
  void each_part_in_use(unsigned fewer_bits, size_t most_sites, Visit visit);
};
static_assert(kMostSites / ledger::kChunkCells <= 1u << 16);

struct ThreadLocal {
  ThreadState* active;  ///< the state, when the heap's fast path may be taken; else null. Never of a sampled heap
  ThreadState* state;
  uint32_t heap_guard;        ///< inside a real call whose allocations are not tracked
  uint32_t pause_depth;       ///< unfreed_pause()
  uint32_t heap_pause_depth;  ///< __lsan_disable()
  uint32_t busy;              ///< a verb is at work with `state`: a signal handler must not use it
  uintptr_t busy_frame;       ///< where that verb's frame is
  uint32_t vfork_child;       ///< a child may be running on the parent's memory: see in_vfork_child()
  int32_t lender_tid;         ///< the thread whose storage this is, when it last lent its memory to such a child
  size_t stack_bytes;         ///< size of this thread's stack as asked for at its creation; 0 unknown
  size_t sample_gap;          ///< bytes up to the next heap block to look at; 0: every block, or not known yet
  uint64_t sample_random;     ///< the thread's random numbers; 0: not seeded yet
  uint32_t gone;              ///< the thread's own ending has begun: counters go straight to the sites
  uintptr_t move_frame;       ///< of the realloc that is under way; 0: none. See BlockMove
};

[[gnu::visibility("hidden")]] extern thread_local constinit ThreadLocal t_local;

/// The calling thread's state, made on first use; null if there is no memory or the thread is ending.
ThreadState* own_state();

/// Updates `active` after any of its conditions has changed.
void refresh_active();

/// Is this a vfork child, running on its parent's memory? Then nothing is tracked. The kernel tells who is running: a
/// signal may reach the parent before vfork has returned in it, and its handler may never return to where that is set.
bool is_vfork_child_now();
inline bool in_vfork_child() { return t_local.vfork_child && is_vfork_child_now(); }
/// Before the call that makes such a child …
void lend_memory();
/// … in the child, before anything of the program's …
void enter_vfork_child();
/// … and in its parent when it is back. Is that a vfork child, too?
bool back_from_vfork_child();

/// Makes the first state, before any other memory is mapped.
void prepare_states();

/// A state for a future thread, to be passed to start_with_state(), or freed; null if there is no memory.
ThreadState* take_state();
void give_state_back(ThreadState* state);
/// In the new thread, before any code of the program's. `stack_bytes`: as requested at its creation, 0 unknown.
/// `record`: its index in the ledger's thread table.
void start_with_state(ThreadState* state, size_t stack_bytes, uint32_t record);

/// What a thread allocated minus what it freed.
struct NetHeap {
  int64_t blocks = 0;
  int64_t bytes = 0;
};
/// Moves the calling thread's counters to the sites, whose balance it returns, and its state to the next thread.
/// Called when the thread ends.
NetHeap retire_own_state();

/// No thread is using its state: all states forget their counters and their threads' records, which are in a ledger
/// that was replaced.
void reset_all_states();

/// In a fork child: forget the other threads' states, keep the caller's, with no counters.
void reset_states_after_fork();

/// While it lives, heap calls of this thread are passed on untracked.
class HeapGuard {
 public:
  HeapGuard() : active_(t_local.active) {
    t_local.active = nullptr;
    ++t_local.heap_guard;
  }
  ~HeapGuard() {
    if (--t_local.heap_guard == 0) t_local.active = active_;
  }
  HeapGuard(const HeapGuard&) = delete;
  HeapGuard& operator=(const HeapGuard&) = delete;

 private:
  ThreadState* active_;
};

/// Forgets the stacks that a state remembers.
void forget_stacks(ThreadState& state);

/// Marks the thread's state as in use by a verb; `state` is null if it already is (or there is none).
class StateUse {
 public:
  StateUse() : state_(t_local.busy ? nullptr : own_state()), active_(t_local.active) {
    t_local.active = nullptr;
    if (!t_local.busy) t_local.busy_frame = reinterpret_cast<uintptr_t>(this);
    ++t_local.busy;
  }
  ~StateUse() {
    --t_local.busy;
    t_local.active = active_;
  }
  StateUse(const StateUse&) = delete;
  StateUse& operator=(const StateUse&) = delete;
  ThreadState* state() const { return state_; }

 private:
  ThreadState* state_;
  ThreadState* active_;
};

}  // namespace unfreed::track
