// Birth epochs of heap blocks. A block's record has room for the number of an epoch, not for a time, and reading a
// clock for each block would cost more than everything else. So time is noted where a clock is read anyway, or much
// more happens than that: as descriptors, threads, children and handles are acquired, as a thread walks a stack that it
// does not remember, and once in 64 KiB that it allocates at one site. If enough time has passed by then, a new epoch
// begins:
//
//     epoch      1         2     3                 4
//     ──────────┼─────────┼─────┼─────────────────┼──────▶ time
//     blocks      a b          c d e      f          g       a block was born between its epoch's beginning and end
//
// An epoch lasts at least 10 ms, and at least 1/1024 of the time since the start: some 16,000 of them are a year. Marks
// (unfreed_mark) begin one, too. At the same occasions the process looks at its own counts (ledger/history.h).
//
// Thread-safe, async-signal-safe.
#pragma once

#include <atomic>
#include <cstdint>

namespace unfreed::track {

inline constexpr unsigned kEpochBits = 15;
/// Where it is reached, it does not end.
inline constexpr uint32_t kLastEpoch = (1u << kEpochBits) - 1;

/// The first one begins, and what sites hold is looked at from now on.
void start_epochs();
/// In a fork child, whose counts begin anew.
void restart_history();
/// Begins one at a program's request. kLastEpoch: it may have begun before.
uint32_t open_epoch();

[[gnu::visibility("hidden")]] extern std::atomic<uint64_t> g_next_due_ns;
void do_what_is_due(uint64_t now_ns);
/// It is now that time (CLOCK_MONOTONIC; may lag by a tick).
inline void note_time(uint64_t now_ns) {
  if (now_ns >= g_next_due_ns.load(std::memory_order_relaxed)) [[unlikely]]
    do_what_is_due(now_ns);
}

/// When the blocks of an epoch were born: between these (CLOCK_MONOTONIC). `now_ns`: the end of one that goes on.
struct BirthTime {
  uint64_t from_ns;
  uint64_t to_ns;
};
BirthTime birth_time(uint32_t epoch, uint64_t now_ns);

}  // namespace unfreed::track
