// Invalid closes: descriptors closed twice, never open, or closed although a stream owns them. Each distinct case is
// kept with the stacks that explain it. All are thread-safe, async-signal-safe.
//
// A double close need not fail: the number may be another descriptor's by then, which is closed instead. It is noticed
// when that one's owner closes it, and is attributed to the close that was not the owner's:
//
//     A opens, and closes; B gets the number; A closes again; B closes, which fails
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

/// A copy of `from`, whose word says that it is whole.
void copy_closed(const ledger::ClosedFd& from, ledger::ClosedFd& to);

/// `fd` is not open. `record` (may be null) tells whether, when and by whom it was closed.
void note_bad_close(int fd, const ledger::FdRecord* record, const FdRelease& release);

/// `fd` was closed by its number, though a stream owns it.
void note_behind_owner(int fd, const FdRelease& release);

/// A stream whose number was closed behind its back is about to close it, though the number has a new owner.
void note_stale_owner(int fd, const ledger::FdRecord& record, const FdRelease& release);

/// One of 0 to 2 was closed by number. Noted if the program did not open it for itself: destroying a zeroed struct does
/// that. Withdrawn when all three are closed (a daemon starting), or when the program puts something else there.
void note_standard_closed(int fd, const FdRelease& release);
/// 0 to 2 has been acquired.
void note_standard_filled(int fd, const ledger::FdRecord& record, uint32_t serial);

/// A stream that was closed is closed again, by `site`: `closed` and `before` are what had its address.
void note_stream_closed_again(int fd, ledger::FdOwner owner, const ledger::ClosedFd& closed,
                              const ledger::ClosedFd& before, uint32_t site);

void reset_misuse_after_fork();

}  // namespace unfreed::track
