// Doors that failed because a limit was reached: the first such call of each place is kept with its stack.
#pragma once

#include <cstdint>

#include "ledger/layout.h"
#include "unwind/frame.h"

namespace unfreed::track {

/// Records that `door` failed with `error` (an errno value). Thread-safe, async-signal-safe, keeps errno.
void note_failure(ledger::Kind kind, uint16_t door, int error, const unwind::Registers& from);

void reset_failures_after_fork();

}  // namespace unfreed::track
