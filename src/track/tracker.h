// The tracker's process-wide state and life cycle. Everything the verbs share: the ledger they write, what is tracked,
// and whether this is still the process that the ledger belongs to.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ledger/writer.h"
#include "track/thread_state.h"

namespace unfreed::track {

enum class Phase : uint32_t {
  forwarding,  ///< before the library's constructor, or disabled: nothing is tracked
  tracking,
  finished,  ///< the exit report has been taken: nothing more is recorded
};

enum class HeapUse : uint8_t {
  every_block,
  sampled,
  none,  ///< for good: the heap is not tracked, or this process is not
};

struct Tracker {
  std::atomic<Phase> phase;
  HeapUse heap_use;
  uint32_t kinds;           ///< bit per ledger::Kind
  uint32_t depth;           ///< frames kept per stack
  uint32_t runtime_module;  ///< number of libunfreed.so in the module table
  ledger::Writer writer;
  std::atomic<uint32_t> heap_epoch;  ///< birth epoch of new blocks (track/epochs.h)
  bool has_unseen_past;   ///< what the parent, or the process before the library was loaded, held is not in its tables
  uint64_t sample_bytes;  ///< UNFREED_SAMPLE, where the heap is sampled
  uintptr_t main_stack_high;
  size_t main_stack_bytes;     ///< RLIMIT_STACK at the start: room that the kernel keeps free for it
  uintptr_t main_thread;       ///< the main thread's pthread_t
  uintptr_t early_heap_end;    ///< what lies below, of what brk gives, is from before tracking began
  size_t default_stack_bytes;  ///< of threads that were created without saying
  /// Grows with every descriptor and thread acquired. On a line of its own: all threads read the above all the time.
  alignas(64) std::atomic<uint32_t> serial;
};
[[gnu::visibility("hidden")]] extern Tracker g_tracker;

/// A page that every fork child finds zeroed (MADV_WIPEONFORK, Linux 4.14), whichever system call made the fork:
/// the only sign of a fork that cannot be bypassed.
struct alignas(4096) ForkPage {
  std::atomic<uint32_t> alive;                  ///< 1: this is the process that the ledger belongs to
  std::atomic<uint32_t> lock;                   ///< taken by the one thread that takes the child over
  std::atomic<uint32_t> generation;             ///< of what threads remember of stacks; 0 where `alive` is
  std::byte rest[4096 - 3 * sizeof(uint32_t)];  ///< nothing else may lie in the page
};
static_assert(sizeof(ForkPage) == 4096);
[[gnu::visibility("hidden")]] extern constinit ForkPage g_fork_page;

/// Sets `alive`. False if the kernel cannot zero pages on fork: then nothing may be tracked.
bool prepare_fork_page();

/// From now on a kind is only partly seen; `reason` for the report. The first reason stays.
void cover_partly(ledger::Kind kind, std::string_view reason);

/// Code was loaded or unloaded: threads must forget the stacks that they remember.
void forget_remembered_stacks();

/// What adopts a fork child: gives the tracker a ledger of its own. Set by the runtime before tracking starts.
using ForkHandler = void (*)();
void set_fork_handler(ForkHandler handler);

/// Runs the fork handler if this process is a fork child that has not done so yet. Every verb that may track calls
/// this first.
void adopt_fork();

inline void adopt_fork_if_needed() {
  if (!g_fork_page.alive.load(std::memory_order_relaxed)) adopt_fork();
}

/// Is this kind recorded now?
inline bool tracks(ledger::Kind kind) {
  return g_tracker.phase.load(std::memory_order_acquire) == Phase::tracking &&
         g_tracker.kinds >> static_cast<unsigned>(kind) & 1;
}

/// May a verb of this kind record something now? Adopts a fork on the way.
inline bool enter(ledger::Kind kind) {
  if (!tracks(kind) || in_vfork_child()) return false;
  if (g_fork_page.alive.load(std::memory_order_relaxed)) [[likely]]
    return true;
  adopt_fork();
  return tracks(kind);  // a child that could not be adopted is not tracked
}

}  // namespace unfreed::track
