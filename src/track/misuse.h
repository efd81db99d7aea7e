// Descriptors closed by who had no right to: closed twice, never open, closed behind the back of the stream that owns
// them. Each distinct case is kept with the stacks that explain it. All are thread-safe, async-signal-safe.
//
// Closing whatever may be open, number after number, is a habit of daemons and of programs about to exec: a run of such
// calls from one place that meets numbers which were never open is not misuse, and what was noted of it is taken back.
#pragma once

#include <cstdint>

#include "ledger/layout.h"
#include "track/fd.h"

namespace unfreed::track {

/// Every close by number passes here, for the runs.
[[gnu::hot]] void note_close_call(int fd, uint32_t site);

/// `fd` is not open. `record` (may be null) tells whether, when and by whom it was closed.
void note_bad_close(int fd, const ledger::FdRecord* record, const FdRelease& release);

/// `fd` was closed by its number, though a stream owns it.
void note_behind_owner(int fd, const FdRelease& release);

/// A stream whose number was closed behind its back is about to close it, though it is somebody else's by now.
void note_stale_owner(int fd, const ledger::FdRecord& record, const FdRelease& release);

void reset_misuse_after_fork();

}  // namespace unfreed::track
