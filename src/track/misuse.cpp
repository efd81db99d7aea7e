#include "track/misuse.h"

#include <algorithm>

#include "base/lock.h"
#include "base/syscall.h"
#include "track/tracker.h"

namespace unfreed::track {

using ledger::FdRecord;
using ledger::Misuse;
using ledger::MisuseKind;
using ledger::SectionId;

namespace {

/// From so many calls on, a run of closes from one place is a sweep. Numbers that were never open tell it sooner than
/// those that were.
constexpr uint32_t kSweepOfUnknown = 3;
constexpr uint32_t kSweep = 9;
/// A sweep leaves out what it wants to keep.
constexpr int kWidestGap = 16;

/// The calling thread's latest closes by number.
struct Run {
  uintptr_t pc;
  int32_t fd;
  int32_t step;  ///< its direction
  uint32_t length;
  uint32_t noted_count;
  Misuse* noted[kSweep];  ///< what it was taken for so far
};
thread_local constinit Run t_run{};

bool goes_on(const Run& run, int fd, uintptr_t pc) {
  if (run.pc != pc || fd == run.fd) return false;
  int distance = fd - run.fd;
  if (distance > kWidestGap || distance < -kWidestGap) return false;
  return run.length == 1 || (distance > 0) == (run.step > 0);
}

void take_back(Run& run, bool all) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < run.noted_count; ++i) {
    Misuse* misuse = run.noted[i];
    if (all || misuse->kind == static_cast<uint8_t>(MisuseKind::not_open))
      misuse->count.fetch_sub(1, std::memory_order_relaxed);
    else
      run.noted[kept++] = misuse;
  }
  run.noted_count = kept;
}

constinit base::Lock g_lock;

Misuse* find(const Misuse& wanted) {
  const ledger::Section& table = g_tracker.writer.section(SectionId::misuses);
  uint64_t count = std::min(table.count.load(std::memory_order_acquire), table.capacity);
  for (uint64_t i = 0; i < count; ++i) {
    Misuse* known = g_tracker.writer.at<Misuse>(SectionId::misuses, i);
    if (known->kind == wanted.kind && known->opened_site == wanted.opened_site &&
        known->closed_site == wanted.closed_site && known->site == wanted.site)
      return known;
  }
  return nullptr;
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
  Misuse* misuse = find(seen);
  if (!misuse) {
    base::Hold hold(g_lock);
    misuse = find(seen);
    if (!misuse) {
      // Filled in before the count makes it visible.
      auto& count = g_tracker.writer.section(SectionId::misuses).count;
      uint64_t number = count.load(std::memory_order_relaxed);
      misuse = g_tracker.writer.touch<Misuse>(SectionId::misuses, number);
      if (!misuse) {
        g_tracker.writer.drop(ledger::Dropped::misuses_full);
        return nullptr;
      }
      copy_facts(seen, *misuse);
      count.store(number + 1, std::memory_order_release);
    }
  }
  misuse->count.fetch_add(1, std::memory_order_relaxed);
  return misuse;
}

void describe_opening(const FdRecord& record, uint64_t word, Misuse& out) {
  out.opened_site = ledger::fd_site(word);
  out.opened_tid = static_cast<int32_t>(record.tid);
  out.opened_ns = record.acquired_ns;
}

void describe_last_close(const FdRecord& record, Misuse& out) {
  out.closed_site = record.closed_site;
  out.closed_tid = static_cast<int32_t>(record.closed_tid);
  out.closed_ns = record.closed_ns;
}

}  // namespace

void note_close_call(int fd, uintptr_t caller_pc) {
  Run& run = t_run;
  if (!goes_on(run, fd, caller_pc)) {
    run = {caller_pc, fd, 0, 1, 0, {}};
    return;
  }
  run.step = fd - run.fd;
  run.fd = fd;
  ++run.length;
  if (run.length == kSweepOfUnknown) take_back(run, false);
  if (run.length == kSweep) take_back(run, true);
}

void note_bad_close(int fd, const FdRecord* record, const FdRelease& release) {
  uint64_t closed_word = record ? record->closed_word.load(std::memory_order_acquire) : 0;
  Run& run = t_run;
  if (run.length >= (closed_word ? kSweep : kSweepOfUnknown)) return;
  Misuse seen{};
  seen.kind = static_cast<uint8_t>(closed_word ? MisuseKind::double_close : MisuseKind::not_open);
  seen.fd = fd;
  seen.site = release.site;
  if (closed_word) {
    describe_opening(*record, closed_word, seen);
    describe_last_close(*record, seen);
  }
  Misuse* misuse = note(seen);
  if (misuse && run.noted_count < kSweep) run.noted[run.noted_count++] = misuse;
}

void note_behind_owner(int fd, const FdRecord& record, const FdRelease& release) {
  Misuse seen{};
  seen.kind = static_cast<uint8_t>(MisuseKind::behind_owner);
  seen.owner_kind = static_cast<uint8_t>(release.owner.kind);
  seen.fd = fd;
  seen.site = release.site;
  describe_opening(record, release.word, seen);
  Misuse* misuse = note(seen);
  if (misuse && t_run.noted_count < kSweep) t_run.noted[t_run.noted_count++] = misuse;
}

void note_stale_owner(int fd, const FdRecord& record, const FdRelease& release) {
  if (t_local.pause_depth) return;
  Misuse seen{};
  seen.kind = static_cast<uint8_t>(MisuseKind::stale_owner);
  seen.owner_kind = static_cast<uint8_t>(record.owner_kind);
  seen.fd = fd;
  seen.site = release.site;
  describe_opening(record, release.word, seen);
  describe_last_close(record, seen);
  note(seen);
}

void reset_misuse_after_fork() {
  g_lock.reset();
  t_run = {};
}

}  // namespace unfreed::track
