#include "track/misuse.h"

#include <atomic>

#include "base/lock.h"
#include "base/syscall.h"
#include "track/record_table.h"
#include "track/tracker.h"

namespace unfreed::track {

using ledger::FdRecord;
using ledger::Misuse;
using ledger::MisuseKind;
using ledger::SectionId;

namespace {

/// A run of closes from one place that meets so many numbers which were never open is a sweep.
constexpr uint32_t kSweep = 3;
/// A sweep leaves out what it wants to keep.
constexpr int kWidestGap = 16;

std::atomic<uint32_t> g_generation;  // grows with forks: records noted before are the parent's

/// The calling thread's latest closes by number.
struct Run {
  uint32_t generation;
  uint32_t site;  ///< from where, with all its callers: a function that closes for others is many places
  int32_t fd;
  int32_t step;  ///< its direction
  uint32_t unknown;
  bool is_sweep;
  struct Noted {
    Misuse* misuse;
    uint64_t count;
  };
  static constexpr uint32_t kMostNoted = 16;
  uint32_t noted_count;
  Noted noted[kMostNoted];  ///< what it was taken for so far
};
thread_local constinit Run t_run{};

bool goes_on(const Run& run, int fd, uint32_t site) {
  if (run.site != site || run.generation != g_generation.load(std::memory_order_relaxed)) return false;
  int distance = fd - run.fd;
  if (distance == 0 || distance > kWidestGap || distance < -kWidestGap) return false;
  return run.step == 0 || (distance > 0) == (run.step > 0);
}

void remember(Run& run, Misuse* misuse) {
  for (uint32_t i = 0; i < run.noted_count; ++i)
    if (run.noted[i].misuse == misuse) {
      ++run.noted[i].count;
      return;
    }
  if (run.noted_count < Run::kMostNoted) run.noted[run.noted_count++] = {misuse, 1};
}

void take_all_back(Run& run) {
  run.is_sweep = true;
  for (uint32_t i = 0; i < run.noted_count; ++i)
    run.noted[i].misuse->count.fetch_sub(run.noted[i].count, std::memory_order_relaxed);
  run.noted_count = 0;
}

bool is_standard(int fd) { return fd <= 2; }

constinit base::Lock g_lock;

bool is_same(const Misuse& one, const Misuse& other) {
  return one.kind == other.kind && one.opened_site == other.opened_site && one.closed_site == other.closed_site &&
         one.site == other.site;
}

void copy_facts(const Misuse& from, Misuse& to) {
  to.kind = from.kind;
  to.owner_kind = from.owner_kind;
  to.fd = from.fd;
  to.opened_site = from.opened_site;
  to.closed_site = from.closed_site;
  to.site = from.site;
  to.opened_tid = from.opened_tid;
  to.closed_tid = from.closed_tid;
  to.tid = from.tid;
  to.opened_ns = from.opened_ns;
  to.closed_ns = from.closed_ns;
  to.first_ns = from.first_ns;
}

/// Counts it; null (counted as dropped) when there is no room for another.
Misuse* note(Misuse& seen) {
  seen.first_ns = base::monotonic_ns();
  seen.tid = base::current_tid();
  auto* misuse = find_or_add<Misuse>(
      SectionId::misuses, ledger::Dropped::misuses_full, g_lock,
      [&](const Misuse& known) { return is_same(known, seen); }, [&](Misuse& made) { copy_facts(seen, made); });
  if (misuse) misuse->count.fetch_add(1, std::memory_order_relaxed);
  return misuse;
}

void describe_opening(const FdRelease& release, Misuse& out) {
  out.opened_site = ledger::fd_site(release.word);
  out.opened_tid = static_cast<int32_t>(release.tid);
  out.opened_ns = release.acquired_ns;
}

void describe_last_close(const FdRecord& record, Misuse& out) {
  out.closed_site = record.closed_site;
  out.closed_tid = static_cast<int32_t>(record.closed_tid);
  out.closed_ns = record.closed_ns;
}

}  // namespace

void note_close_call(int fd, uint32_t site) {
  Run& run = t_run;
  if (!goes_on(run, fd, site)) {
    // Field by field: every close passes here, and what was noted need not be wiped.
    run.generation = g_generation.load(std::memory_order_relaxed);
    run.site = site;
    run.fd = fd;
    run.step = 0;
    run.unknown = 0;
    run.is_sweep = false;
    run.noted_count = 0;
    return;
  }
  run.step = fd - run.fd;
  run.fd = fd;
}

void note_bad_close(int fd, const FdRecord* record, const FdRelease& release) {
  uint64_t closed_word = record ? record->closed_word.load(std::memory_order_acquire) : 0;
  Run& run = t_run;
  if (!closed_word && ++run.unknown == kSweep) take_all_back(run);
  // A program may be started without standard streams, and close them all the same.
  if (run.is_sweep || (!closed_word && is_standard(fd))) return;
  Misuse seen{};
  seen.kind = static_cast<uint8_t>(closed_word ? MisuseKind::double_close : MisuseKind::not_open);
  seen.fd = fd;
  seen.site = release.site;
  if (closed_word) {
    seen.opened_site = ledger::fd_site(closed_word);
    seen.opened_tid = static_cast<int32_t>(record->tid);
    seen.opened_ns = record->acquired_ns;
    describe_last_close(*record, seen);
  }
  if (Misuse* misuse = note(seen)) remember(run, misuse);
}

void note_behind_owner(int fd, const FdRelease& release) {
  if (t_run.is_sweep) return;
  Misuse seen{};
  seen.kind = static_cast<uint8_t>(MisuseKind::behind_owner);
  seen.owner_kind = static_cast<uint8_t>(release.owner.kind);
  seen.fd = fd;
  seen.site = release.site;
  describe_opening(release, seen);
  if (Misuse* misuse = note(seen)) remember(t_run, misuse);
}

void note_stale_owner(int fd, const FdRecord& record, const FdRelease& release) {
  if (t_local.pause_depth) return;
  Misuse seen{};
  seen.kind = static_cast<uint8_t>(MisuseKind::stale_owner);
  seen.fd = fd;
  seen.site = release.site;
  describe_opening(release, seen);
  describe_last_close(record, seen);
  note(seen);
}

void reset_misuse_after_fork() {
  g_lock.reset();
  g_generation.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace unfreed::track
