// The descriptors' verbs. A hook that makes a descriptor records it after the real call. A hook that closes one wraps
// the real call: it notes the closer first, and afterwards erases the record if it is unchanged, since another thread
// may get the number at once. So a call that never returns (thread cancellation, an exception,
// longjmp) leaves the record as it is: a descriptor that is still open keeps its call site, and one that is closed is
// missing from the kernel's list. All are thread-safe, async-signal-safe and keep errno.
#pragma once

#include <errno.h>

#include <atomic>
#include <cstdint>

#include "ledger/layout.h"
#include "track/live_since.h"
#include "track/tracker.h"
#include "unwind/frame.h"

namespace unfreed::track {

/// The stream that owns a descriptor, if any.
struct FdOwnership {
  ledger::FdOwner kind = ledger::FdOwner::none;
  const void* owner = nullptr;
};

/// What else is known of a new descriptor.
struct FdDetails {
  FdOwnership ownership;
  const char* path = nullptr;     ///< what it was opened by
  const void* address = nullptr;  ///< a struct sockaddr of `address_bytes`: who is connected
  uint32_t address_bytes = 0;
  int same_as = -1;    ///< it leads where this one leads
  uint16_t flags = 0;  ///< ledger::kFd…
};

/// `fd` is new and the caller's; negative is a failure, noted when a limit was reached (by errno). Returns `fd`.
[[gnu::hot]] int fd_acquired(int fd, uint16_t hook, const unwind::Registers& from, const FdDetails& details = {});

/// The same for what was opened by `path`.
[[gnu::always_inline]] inline int fd_opened(int fd, const char* path, uint16_t hook, const unwind::Registers& from) {
  FdDetails details;
  details.path = path;
  return fd_acquired(fd, hook, from, details);
}
/// For what leads where `source` does.
inline int fd_duplicated(int fd, int source, uint16_t hook, const unwind::Registers& from) {
  FdDetails details;
  details.same_as = source;
  details.flags = ledger::kFdPlaced;
  return fd_acquired(fd, hook, from, details);
}

/// A socket has got an address of its own (bind), or is connected: a struct sockaddr of `bytes`.
void fd_addressed(int fd, ledger::FdTargetForm form, const void* address, uint32_t bytes);

/// The kernel's list is read for the last time, and will not be there to reconcile with: `fd` is on it.
void fd_found(int fd);
/// The same: forgets what has been closed unseen.
void fd_forget_closed();

/// It was made on behalf of `site` (0: it does not count), which is known from before. Checks no threshold.
void fd_made(int fd, uint32_t site);

/// The same with another origin: received in a message, libc's own.
void fd_arrived(int fd, ledger::FdOrigin origin, uint16_t hook, const unwind::Registers& from);

/// A stream takes over a descriptor that is already known (fdopen, fdopendir).
void fd_adopted(int fd, FdOwnership ownership);

/// Who is about to close a descriptor, and as what.
struct FdCloser {
  uint16_t hook;
  unwind::Registers from;
  const void* stream = nullptr;  ///< the stream being closed, which owns the number; null: it is closed by its number
  bool replaces = false;         ///< the number gets a new meaning, and keeps its owner
};

/// A descriptor that is about to be closed.
struct FdRelease {
  ledger::FdRecord* record = nullptr;
  uint64_t word = 0;  ///< the record's before the call; 0: the number was not known to be open
  uint32_t site = 0;  ///< of the closer
  // For a later double close: which thread acquired it, and when.
  uint32_t tid = 0;
  uint64_t acquired_ns = 0;
  FdOwnership owner;          ///< the stream that does not know of it
  bool behind_owner = false;  ///< it is closed for good without that stream
  /// Another call was closing it already: in another thread, or one that never returned.
  bool second = false;
};
/// A call that closes `fd` is about to be made: notes who makes it.
[[gnu::hot]] FdRelease fd_release_begins(int fd, const FdCloser& closer);
/// It has returned, and the record is erased. `closed` false: only if the number is closed by the kernel's word.
void fd_release_ends(int fd, const FdRelease& release, bool closed);

/// A close by number has closed (some do though they fail), or has returned a failure. Misuse is noted: closing what is
/// not open, or what a stream owns.
[[gnu::hot]] void fd_closed(int fd, const FdRelease& release);
void fd_close_failed(int fd, const FdRelease& release);
/// A stream's close has failed (errno): misuse, if another stream for its descriptor has closed that, and nobody has
/// got the number since. (If it was closed by number behind the stream's back, that close was.)
void fd_stream_close_failed(int fd, const FdRelease& release);

/// What the kernel says of this number. It may not be asked: then it is neither.
bool fd_is_open(int fd);
bool fd_is_closed(int fd);

/// What the table says of a number; `none` also where descriptors are not tracked.
ledger::FdOrigin fd_origin_known(int fd);
uint16_t fd_flags_known(int fd);
/// Has there been one with kFdFanotify or kFdUserfault? Asked at every read().
extern std::atomic<bool> g_has_event_fds;
bool fd_is_owned_by(int fd, FdOwnership ownership);

/// Wraps a real close-like call on one descriptor. `call` returns negative on failure.
template <class Call>
auto fd_closing(int fd, const FdCloser& closer, Call call) {
  FdRelease release = fd_release_begins(fd, closer);
  auto result = call();
  if (result >= 0) [[likely]]
    fd_closed(fd, release);
  else
    fd_close_failed(fd, release);
  return result;
}

/// dup2 and dup3 onto `target`: what it was is closed, on success only.
template <class Call>
int fd_replacing(int source, int target, uint16_t hook, const unwind::Registers& from, Call call) {
  if (source == target) return call();
  FdRelease release = fd_release_begins(target, {hook, from, nullptr, true});
  int result = call();
  fd_release_ends(target, release, result >= 0);
  FdDetails details;
  details.ownership = release.owner;
  details.same_as = source;
  details.flags = ledger::kFdPlaced;
  return fd_acquired(result, hook, from, details);
}

/// Wraps close_range or closefrom over first … last (inclusive). `call` returns 0 when it has closed them. Only records
/// from before the call go: a number may be another thread's again by the time it returns. A range of one number closes
/// it by number; a larger range closes whatever is open in it, which is no misuse.
struct FdRange {
  unsigned first;
  unsigned last;
};
uint32_t fd_latest_serial();
void fd_range_closed(FdRange range, uint32_t latest_serial, const FdCloser& closer);
template <class Call>
auto fd_range_closing(FdRange range, const FdCloser& closer, Call call) {
  if (range.first == range.last && range.first <= INT32_MAX)
    return fd_closing(static_cast<int>(range.first), closer, call);
  uint32_t serial = fd_latest_serial();
  auto result = call();
  if (result == 0) fd_range_closed(range, serial, closer);
  return result;
}
/// fcloseall has run: streams' descriptors that are no longer open are forgotten.
void fd_streams_closed();

/// The program asks that this descriptor count for nothing. False: unknown.
bool fd_ignore(int fd);

/// Adds the descriptors that were acquired after `serial` and are held.
void fd_live_since(uint32_t serial, LiveSince& out);

/// Enters every descriptor that /proc (or, failing that, a scan) says is open as inherited.
void fd_take_inherited();

/// In a fork child, before fd_take_inherited(): of its copy of the parent's table, what was open at the fork and still
/// is stays, as inherited.
void fd_keep_parents();

}  // namespace unfreed::track
