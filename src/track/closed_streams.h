// Recently closed streams and directories, by address. Closing one again is undefined behaviour, and libc may abort, so
// it is detected before libc is called.
//
//     opened ─▶ (in the table only if one closed before had this address) ─▶ closed ─▶ closed again: misuse
//
// A table of fixed size, in which each address has one slot that other addresses may overwrite: what is found is right,
// but a stream that was closed long ago may be missing. Lock-free; all are thread-safe and async-signal-safe.
#pragma once

#include <cstdint>

#include "ledger/layout.h"
#include "track/fd.h"

namespace unfreed::track {

/// A stream exists at this address. Every hooked function that makes one calls this.
void stream_opened(const void* stream);

/// It is being closed, and with it the descriptor that `release` is about.
void stream_closed(const void* stream, int fd, const FdRelease& release);

/// Has the stream that was here been closed, and none been made here since?
bool is_closed_stream(const void* stream);

/// It is about to be closed again.
void note_closed_stream(const void* stream, uint16_t hook, const unwind::Registers& from);

}  // namespace unfreed::track
