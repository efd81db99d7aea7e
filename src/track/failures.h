// Doors that failed because a limit was reached: the first such call of each place is kept with its stack.
#pragma once

#include <cstdint>

#include "ledger/layout.h"
#include "unwind/frame.h"

namespace unfreed::track {

/// Records that `door` failed with `error` (an errno value). Thread-safe, async-signal-safe, keeps errno.
void note_failure(ledger::Kind kind, uint16_t door, int error, const unwind::Registers& from);

/// What is called, at most every ten seconds, when a door fails for want of a resource: `failure` is the record's
/// number in the ledger. It must be async-signal-safe and return soon.
using ExhaustionHandler = void (*)(uint32_t failure);
void set_exhaustion_handler(ExhaustionHandler handler);

/// After a call of the handler there is none about the same kind until a tenth of what was held then has been given
/// back. Told of each release of kinds that are counted as a whole (not memory).
void note_live_count(ledger::Kind kind, uint64_t live);

void reset_failures_after_fork();

}  // namespace unfreed::track
