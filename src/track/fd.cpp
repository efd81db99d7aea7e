#include "track/fd.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstring>

#include "base/keep_errno.h"
#include "base/numbered_entries.h"
#include "base/syscall.h"
#include "track/counters.h"
#include "track/epochs.h"
#include "track/failures.h"
#include "track/levels.h"
#include "track/misuse.h"
#include "track/own_child.h"
#include "track/sites.h"

namespace unfreed::track {

using base::KeepErrno;
using ledger::ClosedFd;
using ledger::FdOrigin;
using ledger::FdRecord;
using ledger::FdTarget;
using ledger::FdTargetForm;
using ledger::Kind;
using ledger::SectionId;

constinit std::atomic<bool> g_has_event_fds;

namespace {

void raise_count(uint64_t number) {
  auto& count = g_tracker.writer.section(SectionId::fds).count;
  uint64_t seen = count.load(std::memory_order_relaxed);
  while (number >= seen && !count.compare_exchange_weak(seen, number + 1, std::memory_order_acq_rel)) {
  }
}

/// The record, backed; null (counted) when the number is beyond the table.
[[gnu::always_inline]] inline FdRecord* record_to_write(int fd) {
  auto* record = g_tracker.writer.touch<FdRecord>(SectionId::fds, static_cast<uint64_t>(fd));
  if (!record)
    g_tracker.writer.drop(ledger::Dropped::fds_out_of_range);
  else
    raise_count(static_cast<uint64_t>(fd));
  return record;
}

/// The record if that part of the table is in use.
[[gnu::always_inline]] inline FdRecord* record_if_any(int fd) {
  if (fd < 0) return nullptr;
  auto& count = g_tracker.writer.section(SectionId::fds).count;
  if (static_cast<uint64_t>(fd) >= count.load(std::memory_order_acquire)) return nullptr;
  return g_tracker.writer.touch<FdRecord>(SectionId::fds, static_cast<uint64_t>(fd));
}

bool counts_on_site(uint64_t word) {
  FdOrigin origin = ledger::fd_origin(word);
  return origin == FdOrigin::acquired || origin == FdOrigin::received;
}

[[gnu::hot]] void count_gone(uint64_t word) {
  if (counts_on_site(word)) count_released_with_peak(Kind::fd, ledger::fd_site(word));
}

/// Readers take a target for the descriptor's that has the serial in it.
void keep_target(FdTarget& target, uint32_t serial, FdTargetForm form, const void* value, size_t bytes) {
  target.serial.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  const auto* start = static_cast<const char*>(value);
  // The end of a path says more than its beginning; of an address it is the other way round.
  target.cut = bytes > sizeof target.value;
  if (target.cut) {
    if (form == FdTargetForm::path) start += bytes - sizeof target.value;
    bytes = sizeof target.value;
  }
  target.form = static_cast<uint8_t>(form);
  target.bytes = static_cast<uint8_t>(bytes);
  std::memcpy(target.value, start, bytes);
  target.serial.store(serial, std::memory_order_release);
}

/// The target of another descriptor, if that has one.
[[gnu::noinline]] void copy_target(int source, FdTarget& target, uint32_t serial) {
  const FdRecord* record = record_if_any(source);
  if (!record) return;
  uint64_t word = record->word.load(std::memory_order_acquire);
  if (!word || record->target.serial.load(std::memory_order_acquire) != ledger::fd_serial(word)) return;
  target.form = record->target.form;
  target.bytes = record->target.bytes;
  target.cut = record->target.cut;
  std::memcpy(target.value, record->target.value, sizeof target.value);
  target.serial.store(serial, std::memory_order_release);
}

/// Returns the length of the path, if it was opened by one.
[[gnu::always_inline]] inline size_t enter_target(const FdDetails& details, FdTarget& target, uint32_t serial) {
  size_t length = details.path ? std::strlen(details.path) : 0;
  if (details.path)
    keep_target(target, serial, FdTargetForm::path, details.path, length);
  else if (details.address)
    keep_target(target, serial, FdTargetForm::peer, details.address, details.address_bytes);
  else if (details.same_as >= 0)
    copy_target(details.same_as, target, serial);
  return length;
}

[[gnu::always_inline]] inline void enter_record(int fd, FdOrigin origin, uint32_t site, const FdDetails& details) {
  FdRecord* record = record_to_write(fd);
  if (!record) return;
  const FdOwnership& ownership = details.ownership;
  // A number that is handed out again has been closed, by a call that bypassed the hooks.
  if (record->word.load(std::memory_order_relaxed)) [[unlikely]]
    count_gone(record->word.exchange(0, std::memory_order_acq_rel));
  record->acquired_ns = base::monotonic_ns();
  note_time(record->acquired_ns);
  record->tid = static_cast<uint32_t>(t_local.state ? t_local.state->tid : base::current_tid());
  record->owner_kind = static_cast<uint16_t>(ownership.kind);
  record->flags = details.flags;
  if (details.flags & (ledger::kFdFanotify | ledger::kFdUserfault)) [[unlikely]]
    g_has_event_fds.store(true, std::memory_order_relaxed);
  record->owner = reinterpret_cast<uint64_t>(ownership.owner);
  uint32_t serial = g_tracker.serial.fetch_add(1, std::memory_order_relaxed) + 1;
  size_t path_length = enter_target(details, record->target, serial);
  if (fd <= 2 && origin != FdOrigin::inherited) [[unlikely]]
    note_standard_filled(fd, *record, serial);
  record->word.store(ledger::fd_word(origin, site, serial), std::memory_order_release);
  if (details.path && may_show_own_child(details.path, path_length)) [[unlikely]]
    hide_own_child(fd, details.path, path_length);
}

/// What the process opened before tracking began: by its malloc, if the loader calls that, or an indirect function's
/// resolver. It is not inherited.
constexpr uint32_t kMostEarly = 32;
int g_early[kMostEarly];
constinit std::atomic<uint32_t> g_early_count;

[[gnu::noinline]] void note_early(int fd) {
  bool is_early = fd >= 0 && g_tracker.phase.load(std::memory_order_relaxed) == Phase::forwarding;
  if (!is_early || in_vfork_child() || g_early_count.load(std::memory_order_relaxed) >= kMostEarly) return;
  uint32_t index = g_early_count.fetch_add(1, std::memory_order_relaxed);
  if (index < kMostEarly) g_early[index] = fd;
}

bool was_opened_early(int fd) {
  uint32_t count = std::min(g_early_count.load(std::memory_order_relaxed), kMostEarly);
  return std::find(g_early, g_early + count, fd) != g_early + count;
}

}  // namespace

int fd_acquired(int fd, uint16_t hook, const unwind::Registers& from, const FdDetails& details) {
  if (!enter(Kind::fd)) {
    note_early(fd);
    return fd;
  }
  KeepErrno keep;
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) note_failure(Kind::fd, hook, errno, from);
    return fd;
  }
  bool counts = !t_local.pause_depth;
  uint32_t site = counts ? capture_site(Kind::fd, hook, from) : 0;
  if (counts) count_acquired_with_peak(Kind::fd, site);
  enter_record(fd, counts ? FdOrigin::acquired : FdOrigin::ignored, site, details);
  check_level(Kind::fd);
  return fd;
}

void fd_arrived(int fd, FdOrigin origin, uint16_t hook, const unwind::Registers& from) {
  if (fd < 0 || !enter(Kind::fd)) return;
  KeepErrno keep;
  uint32_t site = 0;
  if (origin == FdOrigin::received) {
    site = capture_site(Kind::fd, hook, from);
    count_acquired_with_peak(Kind::fd, site);
  }
  enter_record(fd, origin, site, {});
  check_level(Kind::fd);
}

void fd_found(int fd) {
  FdRecord* record = fd > 2 ? record_to_write(fd) : nullptr;
  // Another thread may have been closing it when the list was read, or be opening it now: then its record wins, unless
  // that is being filled at this very moment.
  if (!record || record->word.load(std::memory_order_acquire) || fd_is_closed(fd)) return;
  uint32_t serial = g_tracker.serial.fetch_add(1, std::memory_order_relaxed) + 1;
  uint64_t nobodys = 0;
  if (!record->word.compare_exchange_strong(nobodys, ledger::fd_word(FdOrigin::found, 0, serial),
                                            std::memory_order_acq_rel))
    return;
  record->acquired_ns = base::monotonic_ns();
  record->tid = static_cast<uint32_t>(base::current_tid());
  record->owner_kind = static_cast<uint16_t>(ledger::FdOwner::none);
  record->owner = 0;
  record->flags = 0;
}

void fd_forget_closed() {
  uint64_t count = g_tracker.writer.section(SectionId::fds).count.load(std::memory_order_acquire);
  for (uint64_t fd = 0; fd < count; ++fd) {
    FdRecord* record = record_if_any(static_cast<int>(fd));
    uint64_t word = record ? record->word.load(std::memory_order_acquire) : 0;
    bool is_gone = word && fd_is_closed(static_cast<int>(fd));
    if (is_gone && record->word.compare_exchange_strong(word, 0, std::memory_order_acq_rel)) count_gone(word);
  }
}

void fd_made(int fd, uint32_t site) {
  if (!enter(Kind::fd)) return;
  if (site) count_acquired_with_peak(Kind::fd, site);
  enter_record(fd, site ? FdOrigin::acquired : FdOrigin::ignored, site, {});
}

void fd_adopted(int fd, FdOwnership ownership) {
  if (!enter(Kind::fd)) return;
  if (FdRecord* record = record_if_any(fd)) {
    if (record->owner) record->flags |= ledger::kFdShared;
    record->owner_kind = static_cast<uint16_t>(ownership.kind);
    record->owner = reinterpret_cast<uint64_t>(ownership.owner);
  }
}

void fd_addressed(int fd, FdTargetForm form, const void* address, uint32_t bytes) {
  if (!address || !enter(Kind::fd)) return;
  FdRecord* record = record_if_any(fd);
  uint64_t word = record ? record->word.load(std::memory_order_acquire) : 0;
  if (word) keep_target(record->target, ledger::fd_serial(word), form, address, bytes);
}

namespace {
/// Records which call closed the number, and what it was, to describe a later double close.
void note_closed(const FdRelease& release) {
  FdRecord& record = *release.record;
  ClosedFd& closed = record.closed;
  if (closed.word.load(std::memory_order_relaxed)) copy_closed(closed, record.before);
  closed.acquired_ns = record.acquired_ns;
  // The coarse clock is milliseconds late: nothing is closed before it was acquired.
  closed.closed_ns = std::max(base::coarse_monotonic_ns(), record.acquired_ns);
  closed.left_owner = release.behind_owner ? reinterpret_cast<uint64_t>(release.owner.owner) : 0;
  closed.tid = record.tid;
  closed.closed_site = release.site;
  closed.closed_tid = static_cast<uint32_t>(t_local.state ? t_local.state->tid : base::current_tid());
  closed.word.store(release.word, std::memory_order_release);
}

/// Does a stream close a number that was closed behind its back, and has been handed out anew since?
bool is_stale(int fd, const FdRecord& record, const void* stream) {
  auto address = reinterpret_cast<uint64_t>(stream);
  if (fd <= 2 || record.owner == address) return false;
  return record.closed.word.load(std::memory_order_acquire) && record.closed.left_owner == address;
}

/// Which call acquired it: only misuse needs this.
void note_opening(FdRelease& release) {
  release.acquired_ns = release.record->acquired_ns;
  release.tid = release.record->tid;
}

/// Notes the stream whose descriptor is closed by number. Not for a stream from before a fork: a child is right to
/// close only the number, since closing the stream would write what the parent has buffered.
[[gnu::always_inline]] inline void note_owner_left_behind(int fd, const FdCloser& closer, FdRelease& release) {
  const FdRecord& record = *release.record;
  // A message queue has no stream: it is its descriptor, and may be closed as one.
  if (fd <= 2 || !record.owner || ledger::fd_origin(release.word) == FdOrigin::inherited) return;
  release.owner = {static_cast<ledger::FdOwner>(record.owner_kind), reinterpret_cast<const void*>(record.owner)};
  release.behind_owner = !closer.replaces;
  note_opening(release);
}
}  // namespace

FdRelease fd_release_begins(int fd, const FdCloser& closer) {
  FdRelease release;
  // A stream without a descriptor closes none; close(-1) is misuse.
  if ((fd < 0 && (closer.stream || closer.replaces)) || !enter(Kind::fd)) return release;
  release.site = capture_site(Kind::fd, closer.hook, closer.from);
  FdRecord* record = record_if_any(fd);
  release.word = record ? record->word.load(std::memory_order_acquire) : 0;
  if (!release.word) return release;
  release.record = record;
  if (!closer.stream) {
    note_owner_left_behind(fd, closer, release);
  } else if (is_stale(fd, *record, closer.stream)) {
    note_opening(release);
    note_stale_owner(fd, *record, release);
  }
  release.second = record->closed.word.load(std::memory_order_acquire) == release.word;
  if (!release.second) note_closed(release);
  return release;
}

namespace {
/// Erases the record unless the number belongs to another descriptor by now. (The origin alone may have changed.)
[[gnu::always_inline]] inline bool erase_record(const FdRelease& release) {
  uint64_t word = release.word;
  do {
    if (!release.record->word.compare_exchange_strong(word, 0, std::memory_order_acq_rel)) continue;
    count_gone(word);
    return true;
  } while (word && ledger::fd_serial(word) == ledger::fd_serial(release.word));
  return false;
}

/// The call has closed what it was made for.
[[gnu::always_inline]] inline void closed_now(const FdRelease& release) {
  bool is_last = erase_record(release);
  if (is_last && release.second) [[unlikely]]
    note_closed(release);
}
}  // namespace

void fd_release_ends(int fd, const FdRelease& release, bool closed) {
  if (!release.word) return;
  KeepErrno keep;
  if (closed) return closed_now(release);
  if (fd_is_closed(fd)) {
    erase_record(release);
    return;
  }
  uint64_t closed_word = release.word;
  release.record->closed.word.compare_exchange_strong(closed_word, 0, std::memory_order_acq_rel);
}

void fd_closed(int fd, const FdRelease& release) {
  if (release.word) closed_now(release);
  if (!release.site) return;
  note_close_call(fd, release.site);
  if ((!release.owner.owner && fd > 2) || t_local.pause_depth) [[likely]]
    return;
  KeepErrno keep;
  if (release.owner.owner)
    note_behind_owner(fd, release);
  else
    note_standard_closed(fd, release);
}

/// A close that failed with EBADF has closed nothing, if the kernel agrees that the number is not open. One that failed
/// with another error has closed the descriptor.
void fd_close_failed(int fd, const FdRelease& release) {
  if (errno != EBADF) return fd_closed(fd, release);
  KeepErrno keep;
  fd_release_ends(fd, release, false);
  if (!release.site) return;
  note_close_call(fd, release.site);
  // A file system may answer EBADF for a descriptor that was open (FUSE): its record says so.
  bool was_open = release.word && !release.second;
  if (!t_local.pause_depth && !was_open && fd_is_closed(fd)) note_bad_close(fd, record_if_any(fd), release);
}

void fd_stream_close_failed(int fd, const FdRelease& release) {
  if (errno != EBADF || release.word || !release.site || t_local.pause_depth) return;
  KeepErrno keep;
  const FdRecord* record = record_if_any(fd);
  if (record && record->flags & ledger::kFdShared && fd_is_closed(fd)) note_bad_close(fd, record, release);
}

bool fd_is_open(int fd) { return base::openness_of(fd) == base::Openness::open; }
bool fd_is_closed(int fd) { return base::openness_of(fd) == base::Openness::closed; }

FdOrigin fd_origin_known(int fd) {
  if (!enter(Kind::fd)) return FdOrigin::none;
  FdRecord* record = record_if_any(fd);
  return record ? ledger::fd_origin(record->word.load(std::memory_order_acquire)) : FdOrigin::none;
}

uint16_t fd_flags_known(int fd) {
  FdRecord* record = enter(Kind::fd) ? record_if_any(fd) : nullptr;
  return record && record->word.load(std::memory_order_acquire) ? record->flags : uint16_t{0};
}

bool fd_is_owned_by(int fd, FdOwnership ownership) {
  if (!enter(Kind::fd)) return false;
  FdRecord* record = record_if_any(fd);
  return record && record->word.load(std::memory_order_acquire) &&
         record->owner_kind == static_cast<uint16_t>(ownership.kind) &&
         record->owner == reinterpret_cast<uint64_t>(ownership.owner);
}

uint32_t fd_latest_serial() { return g_tracker.serial.load(std::memory_order_acquire); }

void fd_range_closed(FdRange range, uint32_t latest_serial, const FdCloser& closer) {
  if (!enter(Kind::fd)) return;
  KeepErrno keep;
  uint32_t site = 0;
  uint64_t count = g_tracker.writer.section(SectionId::fds).count.load(std::memory_order_acquire);
  for (uint64_t fd = range.first; fd < count && fd <= range.last; ++fd) {
    FdRecord* record = record_if_any(static_cast<int>(fd));
    if (!record) continue;
    uint64_t word = record->word.load(std::memory_order_acquire);
    if (!word || static_cast<int32_t>(ledger::fd_serial(word) - latest_serial) > 0) continue;
    if (!record->word.compare_exchange_strong(word, 0, std::memory_order_acq_rel)) continue;
    if (!site) site = capture_site(Kind::fd, closer.hook, closer.from);
    FdRelease release;
    release.record = record;
    release.word = word;
    release.site = site;
    note_owner_left_behind(static_cast<int>(fd), closer, release);
    note_closed(release);
    count_gone(word);
  }
}

void fd_streams_closed() {
  if (!enter(Kind::fd)) return;
  uint64_t count = g_tracker.writer.section(SectionId::fds).count.load(std::memory_order_acquire);
  for (uint64_t fd = 0; fd < count; ++fd) {
    FdRecord* record = record_if_any(static_cast<int>(fd));
    if (!record || record->owner_kind == static_cast<uint16_t>(ledger::FdOwner::none)) continue;
    if (fd_is_closed(static_cast<int>(fd))) count_gone(record->word.exchange(0, std::memory_order_acq_rel));
  }
}

bool fd_ignore(int fd) {
  if (!enter(Kind::fd)) return false;
  FdRecord* record = record_if_any(fd);
  if (!record) return false;
  uint64_t word = record->word.load(std::memory_order_acquire);
  if (!word) return false;
  uint64_t ignored = ledger::fd_word(FdOrigin::ignored, ledger::fd_site(word), ledger::fd_serial(word));
  if (!record->word.compare_exchange_strong(word, ignored, std::memory_order_acq_rel)) return false;
  count_gone(word);
  return true;
}

void fd_live_since(uint32_t serial, LiveSince& out) {
  uint64_t count = g_tracker.writer.section(SectionId::fds).count.load(std::memory_order_acquire);
  for (uint64_t fd = 0; fd < count; ++fd) {
    FdRecord* record = record_if_any(static_cast<int>(fd));
    if (!record) continue;
    uint64_t word = record->word.load(std::memory_order_acquire);
    bool newer = static_cast<int32_t>(ledger::fd_serial(word) - serial) > 0;
    if (counts_on_site(word) && newer && !fd_is_closed(static_cast<int>(fd))) out.add(ledger::fd_site(word));
  }
}

namespace {

/// What a fork child knows from its parent stays.
void enter_inherited(int fd) {
  if (was_opened_early(fd)) return;
  FdRecord* record = record_if_any(fd);
  if (!record || !record->word.load(std::memory_order_relaxed)) enter_record(fd, FdOrigin::inherited, 0, {});
}

bool take_inherited_from_proc() {
  long directory = base::open_file("/proc/self/fd", O_RDONLY | O_DIRECTORY);
  if (directory < 0) return false;
  alignas(8) char buffer[2048];
  bool listed = base::each_numbered_entry(directory, buffer, [directory](int fd) {
    if (fd != directory) enter_inherited(fd);
    return true;
  });
  base::close_file(directory);
  return listed;
}

void take_inherited_by_probing() {
  rlimit limit{};
  base::raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, reinterpret_cast<long>(&limit));
  constexpr rlim_t kMostProbed = 65536;
  for (int fd = 0; fd < static_cast<int>(std::min(limit.rlim_cur, kMostProbed)); ++fd)
    if (fd_is_open(fd)) enter_inherited(fd);
}

/// The record in the parent's table as it was at the fork, 0 if that is not known. The parent has gone on since; the
/// child has a copy of its counter as it was.
uint64_t word_at_fork(const FdRecord& record) {
  uint32_t now = g_tracker.serial.load(std::memory_order_relaxed);
  auto is_older = [&](uint64_t word) { return word && static_cast<int32_t>(ledger::fd_serial(word) - now) <= 0; };
  uint64_t word = record.word.load(std::memory_order_acquire);
  if (is_older(word)) return word;
  uint64_t closed = record.closed.word.load(std::memory_order_acquire);
  return !word && is_older(closed) ? closed : 0;
}
}  // namespace

void fd_take_inherited() {
  // Reserved now, so that they can be entered even if the ledger's file system fills up.
  constexpr uint64_t kFirstRecords = 128;
  g_tracker.writer.reserve(SectionId::fds, kFirstRecords);
  if (!take_inherited_from_proc()) take_inherited_by_probing();
  g_early_count.store(0, std::memory_order_relaxed);  // a fork child inherits them
}

void fd_keep_parents() {
  auto& count = g_tracker.writer.section(SectionId::fds).count;
  uint64_t parents = count.load(std::memory_order_relaxed), kept = 0;
  for (uint64_t fd = 0; fd < parents; ++fd) {
    auto* record = g_tracker.writer.known<FdRecord>(SectionId::fds, fd);
    if (!record) continue;
    uint64_t word = word_at_fork(*record);
    if (word && fd_is_closed(static_cast<int>(fd))) word = 0;
    record->closed.word.store(0, std::memory_order_relaxed);
    record->before.word.store(0, std::memory_order_relaxed);
    record->word.store(word ? ledger::fd_word(FdOrigin::inherited, ledger::fd_site(word), ledger::fd_serial(word)) : 0,
                       std::memory_order_relaxed);
    if (word) kept = fd + 1;
  }
  count.store(kept, std::memory_order_release);
}

}  // namespace unfreed::track
