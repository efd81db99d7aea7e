#include "track/thread_state.h"

#include <pthread.h>

#include <cstring>

#include "base/free_list.h"
#include "base/own_memory.h"
#include "base/syscall.h"
#include "track/counters.h"
#include "track/threads.h"
#include "track/tracker.h"
#include "unwind/walk.h"

namespace unfreed::track {

thread_local constinit ThreadLocal t_local{};

namespace {

constinit base::FreeList<ThreadState> g_free_states;
std::atomic<uint32_t> g_made_states;

/// From this many threads on, each may remember fewer stacks.
constexpr uint32_t kLargeTables = 8;

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
  auto* state = base::own_array<ThreadState>(1);
  if (!state) return nullptr;
  state->recent.set_limit(made >= kLargeTables);
  state->recent.forget_in_fork_children();
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
  bool fast = t_local.state && !t_local.heap_guard && !t_local.pause_depth && !t_local.busy && !t_local.vfork_child &&
              g_tracker.heap_use == HeapUse::every_block && tracks(ledger::Kind::heap);
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
