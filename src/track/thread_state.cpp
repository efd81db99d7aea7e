#include "track/thread_state.h"

#include <pthread.h>

#include <algorithm>
#include <cstring>

#include "base/address_space.h"
#include "base/free_list.h"
#include "base/own_memory.h"
#include "base/syscall.h"
#include "track/counters.h"
#include "track/heap_index.h"
#include "track/threads.h"
#include "track/tracker.h"
#include "unwind/walk.h"

namespace unfreed::track {

template <class Visit>
void ThreadState::each_part_in_use(unsigned fewer_bits, size_t most_sites, Visit visit) {
  recent.each_part_in_use(fewer_bits, visit);
  size_t most_chunks = (most_sites + ledger::kChunkCells - 1) / ledger::kChunkCells;
  visit(chunks, most_chunks * sizeof *chunks);  // NOLINT(bugprone-sizeof-expression): an array of pointers
  visit(used_chunks, most_chunks * sizeof *used_chunks);
  auto* rest = reinterpret_cast<std::byte*>(&used_chunk_count);
  visit(rest, static_cast<size_t>(reinterpret_cast<std::byte*>(&foreign) - rest));
  foreign.each_part_in_use(fewer_bits, visit);
  visit(&walked, static_cast<size_t>(reinterpret_cast<std::byte*>(this + 1) - reinterpret_cast<std::byte*>(&walked)));
}

thread_local constinit ThreadLocal t_local{};

namespace {

constinit base::FreeList<ThreadState> g_free_states;
std::atomic<uint32_t> g_made_states;
std::atomic<ThreadState*> g_last_made;

/// From this many threads on, each may remember fewer stacks.
constexpr uint32_t kLargeTables = 8;

/// The tables of a thread: an eighth of the full ones, and the least.
constexpr unsigned kSmallTables = 3, kLeastTables = RecentStacks::kFewestBits;

/// The smallest tables if less than 1 GiB of address space is free, else small ones.
unsigned tables_where_space_is_short() {
  constexpr size_t kSome = size_t{1} << 30;
  return base::free_address_space() < kSome ? kLeastTables : kSmallTables;
}

constexpr size_t kPage = 4096;
uintptr_t page_of(uintptr_t address) { return address & ~(kPage - 1); }

/// Maps only the parts of a state that may come to be touched.
ThreadState* map_in_parts(unsigned fewer_bits) {
  uintptr_t place = base::own_addresses(sizeof(ThreadState)), end = place;
  auto* state = reinterpret_cast<ThreadState*>(place);
  size_t bytes = 0;
  bool is_there = true;
  // Before there is a ledger: it will be a small one (ledger::lay_out).
  size_t most_sites = g_tracker.writer ? g_tracker.writer.section(ledger::SectionId::sites).capacity : kMostSites / 8;
  auto each_range = [&](auto use) {
    end = place;
    state->each_part_in_use(fewer_bits, most_sites, [&](const void* start, size_t size) {
      auto from = reinterpret_cast<uintptr_t>(start);
      uintptr_t first = std::max(page_of(from), end), last = page_of(from + size + kPage - 1);
      if (first >= last) return;
      end = last;
      use(first, last - first);
    });
  };
  each_range([&](uintptr_t, size_t more) { bytes += more; });
  if (!base::may_take_address_space(bytes)) return nullptr;
  each_range([&](uintptr_t at, size_t more) { is_there = is_there && base::own_memory_at(at, more); });
  if (is_there) return state;
  base::give_back_own_memory(place, end - place);
  base::return_address_space(bytes);
  return nullptr;
}

/// Makes a state the calling thread's. `stack_high`: where its frames begin, downwards.
void adopt(ThreadState* state, uintptr_t stack_high, size_t stack_bytes) {
  unwind::StackBounds bounds{stack_high - (stack_bytes < stack_high ? stack_bytes : stack_high), stack_high};
  // What is remembered leads to another thread's counters; and its foreign stacks are gone with it.
  state->recent.start(stack_high);
  state->foreign.clear();
  state->walked.forget();
  state->bounds = bounds;
  t_local.state = state;
  watch_thread_end();
}

/// Frames lie below the thread's control block, which glibc puts at the top of every thread's stack but the first's.
uintptr_t stack_high_of_thread() { return reinterpret_cast<uintptr_t>(pthread_self()); }

size_t stack_bytes_of_thread() { return t_local.stack_bytes ? t_local.stack_bytes : g_tracker.default_stack_bytes; }

}  // namespace

ThreadState* take_state() {
  if (ThreadState* state = g_free_states.take()) return state;
  uint32_t made = g_made_states.fetch_add(1, std::memory_order_relaxed);
  bool is_short = base::is_address_space_short();
  unsigned fewer_bits = is_short ? tables_where_space_is_short() : made >= kLargeTables ? kSmallTables : 0;
  ThreadState* state = is_short ? map_in_parts(fewer_bits) : base::own_array<ThreadState>(1);
  if (!state) return nullptr;
  state->recent.set_limit(fewer_bits);
  state->foreign.set_limit(is_short ? fewer_bits : 0);
  state->recent.forget_in_fork_children();
  state->next_made = g_last_made.load(std::memory_order_relaxed);
  while (!g_last_made.compare_exchange_weak(state->next_made, state, std::memory_order_acq_rel)) {
  }
  return state;
}

void prepare_states() {
  if (ThreadState* state = take_state()) give_state_back(state);
}

void give_state_back(ThreadState* state) { g_free_states.give_back(state); }

void start_with_state(ThreadState* state, size_t stack_bytes, uint32_t record) {
  ++t_local.busy;  // signal handlers make no state meanwhile
  t_local.busy_frame = 0;
  t_local.stack_bytes = stack_bytes;
  if (t_local.state) {  // made by a handler before the thread's routine, which did not know the stack's size
    give_state_back(state);
    state = t_local.state;
  }
  state->tid = base::current_tid();
  adopt(state, stack_high_of_thread(), stack_bytes_of_thread());
  --t_local.busy;
  t_local.state->record = static_cast<int32_t>(record);
}

ThreadState* own_state() {
  if (t_local.state || t_local.gone) return t_local.state;
  ThreadState* state = take_state();
  if (!state) return nullptr;
  state->tid = base::current_tid();
  state->record = -1;
  bool is_main = state->tid && state->tid == base::current_pid();
  if (is_main)
    adopt(state, g_tracker.main_stack_high, g_tracker.main_stack_bytes);
  else
    adopt(state, stack_high_of_thread(), stack_bytes_of_thread());
  return state;
}

void forget_stacks(ThreadState& state) {
  state.foreign.clear();
  state.recent.clear();
  state.walked.forget();
}

void refresh_active() {
  bool fast = t_local.state && !t_local.heap_guard && !t_local.pause_depth && !t_local.heap_pause_depth &&
              !t_local.busy && !t_local.vfork_child && g_tracker.heap_use == HeapUse::every_block &&
              !g_heap_index.is_compact() && tracks(ledger::Kind::heap);
  t_local.active = fast ? t_local.state : nullptr;
}

bool is_vfork_child_now() {
  int tid = base::current_tid();
  if (!tid || tid != t_local.lender_tid) return true;
  t_local.vfork_child = 0;
  refresh_active();
  return false;
}

void lend_memory() {
  if (!in_vfork_child()) t_local.lender_tid = base::current_tid();
}

void enter_vfork_child() {
  t_local.vfork_child = 1;
  t_local.active = nullptr;
}

bool back_from_vfork_child() {
  t_local.vfork_child = base::current_tid() != t_local.lender_tid;
  refresh_active();
  return t_local.vfork_child;
}

NetHeap retire_own_state() {
  ThreadState* state = t_local.state;
  t_local.gone = 1;
  t_local.active = nullptr;
  t_local.state = nullptr;
  if (!state) return {};
  NetHeap net;
  if (g_fork_page.alive.load(std::memory_order_relaxed)) net = fold_counters(*state);
  give_state_back(state);
  return net;
}

void reset_all_states() {
  for (ThreadState* state = g_last_made.load(std::memory_order_acquire); state; state = state->next_made) {
    for (uint32_t i = 0; i < state->used_chunk_count; ++i) state->chunks[state->used_chunks[i]] = nullptr;
    state->used_chunk_count = 0;
    state->record = -1;
    forget_stacks(*state);
  }
}

void reset_states_after_fork() {
  t_local.sample_random = 0;  // not the same blocks as in the parent and in its other children
  // States of threads that do not exist here are given up: their memory is shared with the parent until written.
  g_free_states.reset();
  if (ThreadState* state = t_local.state) {
    for (uint32_t i = 0; i < state->used_chunk_count; ++i) state->chunks[state->used_chunks[i]] = nullptr;
    state->used_chunk_count = 0;
    forget_stacks(*state);
    state->tid = base::current_tid();
  }
}

}  // namespace unfreed::track
