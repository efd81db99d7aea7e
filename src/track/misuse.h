// Descriptors closed by who had no right to: closed twice, never open, closed behind the back of the stream that owns
// them. Each distinct case is kept with the stacks that explain it. All are thread-safe, async-signal-safe.
//
// Closing whatever may be open, number after number, is a habit of daemons and of programs about to exec: a run of such
// calls from one place is not misuse, and what was noted at its beginning is taken back.
#pragma once

#include <cstdint>

#include "ledger/layout.h"
#include "track/fd.h"

namespace unfreed::track {

/// Every close by number passes here, for the runs.
void note_close_call(int fd, uintptr_t caller_pc);

/// `fd` is not open. `record` (may be null) tells whether, when and by whom it was closed.
void note_bad_close(int fd, const ledger::FdRecord* record, const FdRelease& release);

/// `fd` was closed by its number, though a stream owns it.
void note_behind_owner(int fd, const ledger::FdRecord& record, const FdRelease& release);

/// A stream is about to close a number that is somebody else's by now.
void note_stale_owner(int fd, const ledger::FdRecord& record, const FdRelease& release);

void reset_misuse_after_fork();

}  // namespace unfreed::track
