// Call sites: stacks interned as paths in the ledger's tree of nodes, and (kind, acquiring function, stack) interned as
// sites. Look-ups are lock-free; only a stack never seen before takes a lock, for as long as its new nodes need.
#pragma once

#include <cstdint>
#include <span>

#include "ledger/layout.h"
#include "track/modules.h"
#include "track/thread_state.h"
#include "unwind/frame.h"
#include "unwind/walk.h"

namespace unfreed::track {

/// Allocates the hash tables. False: no memory.
bool prepare_sites();

/// The innermost node of the stack (frames innermost first). Frames that find no room are left out at the outer end,
/// counted, and `truncated` is set.
uint32_t intern_stack(std::span<const unwind::Frame> frames, bool& truncated);

/// The site for a stack; never 0. Site 1 is its kinds' overflow site, when the table is full.
uint32_t intern_site(ledger::Kind kind, uint16_t door, std::span<const unwind::Frame> frames, bool truncated);

/// Captures the calling stack and returns its site, from the thread's memo where it can.
/// Thread-safe, async-signal-safe; keeps errno.
uint32_t capture_site(ledger::Kind kind, uint16_t door, const unwind::Registers& from);

/// The memo's entries are for one kind and acquiring function.
inline uint32_t memo_tag(ledger::Kind kind, uint16_t door) { return uint32_t{door} << 8 | static_cast<uint32_t>(kind); }

/// What capture_site does where the memo does not know the stack.
uint32_t capture_by_walk(ThreadState& state, const StackMemo::Search& miss, ledger::Kind kind, uint16_t door,
                         const unwind::Registers& from);

/// capture_site with the thread's state in hand, marked as in use.
[[gnu::always_inline]] inline uint32_t capture_with_state(ThreadState& state, ledger::Kind kind, uint16_t door,
                                                          const unwind::Registers& from) {
  uint64_t generation = uint64_t{unwind::code_generation()} << 32 | g_module_count.load(std::memory_order_relaxed);
  if (state.memo.generation != generation) [[unlikely]] {
    state.memo.clear();
    state.memo.generation = generation;
  }
  state.initial_bp = from.bp;
  bool own_stack = state.is_own_stack(from.sp);
  StackMemo::Search miss;
  uint32_t site = state.memo.find(from, memo_tag(kind, door), own_stack, miss);
  return site ? site : capture_by_walk(state, miss, kind, door, from);
}

/// Captures the calling stack only: its innermost node.
uint32_t capture_node(const unwind::Registers& from, bool& truncated);

void reset_sites_after_fork();

}  // namespace unfreed::track
