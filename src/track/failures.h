// Hooked functions that failed because a limit was reached: the first such call at each stack is kept.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ledger/layout.h"
#include "unwind/frame.h"

namespace unfreed::track {

/// Records that `hooked function` failed with `error` (an errno value). Thread-safe, async-signal-safe, keeps errno.
void note_failure(ledger::Kind kind, uint16_t hook, int error, const unwind::Registers& from);

/// Called, at most every ten seconds, when a hooked function fails for lack of a resource: `failure` is the
/// record's number in the ledger. It must be async-signal-safe and return soon.
using ExhaustionHandler = void (*)(uint32_t failure);
void set_exhaustion_handler(ExhaustionHandler handler);

/// After the handler was called it is not called again for the same kind until a tenth of what was held then has been
/// released. By kind: no call until the live count is below it. 0: it was never called.
extern std::atomic<uint64_t> g_quiet_until_below[ledger::kKindCount];

/// Called for each release of a kind that is counted as a whole (not memory).
inline void note_live_count(ledger::Kind kind, uint64_t live) {
  auto& quiet = g_quiet_until_below[static_cast<size_t>(kind)];
  uint64_t below = quiet.load(std::memory_order_relaxed);
  if (below && live < below) [[unlikely]]
    quiet.store(0, std::memory_order_release);
}

void reset_failures_after_fork();

}  // namespace unfreed::track
