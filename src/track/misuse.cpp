#include "track/misuse.h"

#include <atomic>

#include "base/lock.h"
#include "base/syscall.h"
#include "ledger/fd_target.h"
#include "track/record_table.h"
#include "track/tracker.h"

namespace unfreed::track {

using ledger::ClosedFd;
using ledger::FdRecord;
using ledger::Misuse;
using ledger::MisuseKind;
using ledger::SectionId;

namespace {

/// A run of closes from one place that meets so many numbers which were never open is a sweep.
constexpr uint32_t kSweep = 3;
/// A sweep may skip the numbers that it wants to keep.
constexpr int kWidestGap = 16;

std::atomic<uint32_t> g_generation;  // grows with forks: records noted before are the parent's

/// The calling thread's latest closes by number.
struct Run {
  uint32_t generation;
  uint32_t site;  ///< call site with its full stack: a close wrapper has many
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

bool is_standard(int fd) { return fd >= 0 && fd <= 2; }

/// By number: what was noted of the latest close of a standard stream's number.
std::atomic<Misuse*> g_standard_noted[3];

void take_all_back(Run& run) {
  run.is_sweep = true;
  for (uint32_t i = 0; i < run.noted_count; ++i) {
    run.noted[i].misuse->count.fetch_sub(run.noted[i].count, std::memory_order_relaxed);
    for (auto& noted : g_standard_noted) {
      Misuse* same = run.noted[i].misuse;
      noted.compare_exchange_strong(same, nullptr, std::memory_order_acq_rel);
    }
  }
  run.noted_count = 0;
}

void take_standard_back(std::atomic<Misuse*>& noted) {
  Misuse* misuse = noted.exchange(nullptr, std::memory_order_acq_rel);
  if (!misuse) return;
  misuse->count.fetch_sub(1, std::memory_order_relaxed);
  Run& run = t_run;
  for (uint32_t i = 0; i < run.noted_count; ++i)
    if (run.noted[i].misuse == misuse && run.noted[i].count) --run.noted[i].count;
}

constinit base::Lock g_lock;

bool is_same(const Misuse& one, const Misuse& other) {
  return one.kind == other.kind && one.opened_site == other.opened_site && one.closed_site == other.closed_site &&
         one.site == other.site && one.reopened_site == other.reopened_site;
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
  to.reopened_site = from.reopened_site;
  to.reopened_tid = from.reopened_tid;
  to.reopened_ns = from.reopened_ns;
  to.earlier_opened_site = from.earlier_opened_site;
  to.earlier_closed_site = from.earlier_closed_site;
  to.earlier_opened_tid = from.earlier_opened_tid;
  to.earlier_closed_tid = from.earlier_closed_tid;
  to.earlier_opened_ns = from.earlier_opened_ns;
  to.earlier_closed_ns = from.earlier_closed_ns;
}

/// Counts it; null (counted as dropped) when there is no room for another.
Misuse* note(Misuse& seen) {
  if (!seen.first_ns) {
    seen.first_ns = base::monotonic_ns();
    seen.tid = base::current_tid();
  }
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

void describe_opening(const ClosedFd& closed, Misuse& out) {
  out.opened_site = ledger::fd_site(closed.word.load(std::memory_order_relaxed));
  out.opened_tid = static_cast<int32_t>(closed.tid);
  out.opened_ns = closed.acquired_ns;
}

void describe_close(const ClosedFd& closed, Misuse& out) {
  out.closed_site = closed.closed_site;
  out.closed_tid = static_cast<int32_t>(closed.closed_tid);
  out.closed_ns = closed.closed_ns;
}

/// The frames of a stack, innermost first.
class Frames {
 public:
  explicit Frames(uint32_t site) {
    auto* record = g_tracker.writer.known<ledger::Site>(SectionId::sites, site);
    node_ = record && site ? record->node : 0;
  }
  /// nullptr at the end.
  const ledger::Node* next() {
    auto* node = node_ ? g_tracker.writer.known<ledger::Node>(SectionId::nodes, node_) : nullptr;
    node_ = node ? node->parent : 0;
    return node;
  }

 private:
  uint32_t node_;
};

/// How many frames two stacks have in common, from the innermost on: calls of one wrapper by one function are more
/// alike than calls of it by two.
uint32_t likeness(uint32_t one_site, uint32_t other_site) {
  constexpr uint32_t kMost = 64;
  Frames one(one_site);
  Frames other(other_site);
  for (uint32_t common = 0; common < kMost; ++common) {
    const ledger::Node* left = one.next();
    const ledger::Node* right = other.next();
    if (!left || !right || left->module != right->module || left->offset != right->offset) return common;
  }
  return kMost;
}

/// A number, or a stream's address, has had two owners, and the newer one finds it closed already. Did the newer owner
/// close it twice, or did the older one, which had closed its own before? The older one is blamed only on clear
/// evidence: its thread made the close and the newer one's did not, or the close came from the code that had closed
/// the older one and not from the code that closes the newer one. If both were opened at one place, there is none.
bool is_closed_by_older(const ClosedFd& older, const ClosedFd& newer, uint32_t site) {
  uint64_t older_word = older.word.load(std::memory_order_acquire);
  if (!older_word) return false;
  uint32_t older_opening = ledger::fd_site(older_word);
  uint32_t newer_opening = ledger::fd_site(newer.word.load(std::memory_order_relaxed));
  if (older_opening && newer_opening && likeness(older_opening, newer_opening) > 0) return false;
  auto tid = static_cast<uint32_t>(base::current_tid());
  bool is_older_thread = newer.closed_tid == older.closed_tid || newer.closed_tid == older.tid;
  if (newer.tid == tid && newer.closed_tid != tid && older.tid != tid && is_older_thread) return true;
  return likeness(newer.closed_site, older.closed_site) > likeness(newer.closed_site, site);
}

/// Who had the number before, if the close at `site` may be that owner's second: another place opened for it, and the
/// close is not another one by code that has closed for the later owner.
void describe_earlier(const ClosedFd& earlier, uint32_t opened_site, uint32_t own_close, uint32_t site, Misuse& out) {
  uint64_t word = earlier.word.load(std::memory_order_acquire);
  if (!word || ledger::fd_origin(word) == ledger::FdOrigin::inherited) return;
  uint32_t opening = ledger::fd_site(word);
  if (!opening || !opened_site || likeness(opening, opened_site) > 0) return;
  if (own_close && likeness(own_close, site) > 0) return;
  out.earlier_opened_site = opening;
  out.earlier_opened_tid = static_cast<int32_t>(earlier.tid);
  out.earlier_opened_ns = earlier.acquired_ns;
  out.earlier_closed_site = earlier.closed_site;
  out.earlier_closed_tid = static_cast<int32_t>(earlier.closed_tid);
  out.earlier_closed_ns = earlier.closed_ns;
}

/// A double close: `closed` is what had been closed, `before` what had the number (or address) before that.
void describe_double_close(const ClosedFd& closed, const ClosedFd& before, uint32_t site, Misuse& out) {
  out.kind = static_cast<uint8_t>(MisuseKind::double_close);
  bool is_older = is_closed_by_older(before, closed, site);
  describe_opening(is_older ? before : closed, out);
  describe_close(is_older ? before : closed, out);
  out.site = site;
  if (!is_older) return describe_earlier(before, out.opened_site, closed.closed_site, site, out);
  // The close that fails is its owner's; the one before was not.
  out.site = closed.closed_site;
  out.tid = static_cast<int32_t>(closed.closed_tid);
  out.first_ns = closed.closed_ns;
  out.reopened_site = ledger::fd_site(closed.word.load(std::memory_order_relaxed));
  out.reopened_tid = static_cast<int32_t>(closed.tid);
  out.reopened_ns = closed.acquired_ns;
}

}  // namespace

void copy_closed(const ClosedFd& from, ClosedFd& to) {
  to.acquired_ns = from.acquired_ns;
  to.closed_ns = from.closed_ns;
  to.left_owner = from.left_owner;
  to.tid = from.tid;
  to.closed_site = from.closed_site;
  to.closed_tid = from.closed_tid;
  to.word.store(from.word.load(std::memory_order_relaxed), std::memory_order_release);
}

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
  uint64_t closed_word = record ? record->closed.word.load(std::memory_order_acquire) : 0;
  Run& run = t_run;
  if (!closed_word && ++run.unknown == kSweep) take_all_back(run);
  // A program may be started without standard streams, and close their numbers nevertheless.
  if (run.is_sweep || (!closed_word && is_standard(fd))) return;
  Misuse seen{};
  seen.kind = static_cast<uint8_t>(MisuseKind::not_open);
  seen.fd = fd;
  seen.site = release.site;
  if (closed_word) describe_double_close(record->closed, record->before, release.site, seen);
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
  if (release.record) describe_earlier(release.record->before, seen.opened_site, 0, release.site, seen);
  if (Misuse* misuse = note(seen)) remember(t_run, misuse);
}

void note_stale_owner(int fd, const FdRecord& record, const FdRelease& release) {
  if (t_local.pause_depth) return;
  Misuse seen{};
  seen.kind = static_cast<uint8_t>(MisuseKind::stale_owner);
  seen.fd = fd;
  seen.site = release.site;
  describe_opening(release, seen);
  describe_close(record.closed, seen);
  note(seen);
}

namespace {
/// Only a descriptor that the program got under this number by accident can be closed wrongly here.
bool is_by_accident(const FdRecord& record, uint64_t word) {
  ledger::FdOrigin origin = ledger::fd_origin(word);
  bool is_own = origin == ledger::FdOrigin::acquired || origin == ledger::FdOrigin::received;
  return is_own && !(record.flags & ledger::kFdPlaced);
}

bool are_all_noted() {
  for (auto& noted : g_standard_noted)
    if (!noted.load(std::memory_order_acquire)) return false;
  return true;
}
}  // namespace

void note_standard_closed(int fd, const FdRelease& release) {
  // A forked child sets up the standard streams of the program that it will execute.
  if (!is_standard(fd) || !release.word || g_tracker.has_unseen_past || t_run.is_sweep) return;
  const FdRecord& record = *release.record;
  bool is_given = ledger::fd_origin(release.word) == ledger::FdOrigin::inherited;
  Misuse seen{};
  seen.kind = static_cast<uint8_t>(MisuseKind::standard_closed);
  seen.fd = fd;
  seen.site = release.site;
  if (!is_given) {
    // The same code has closed a standard stream under this number before.
    uint64_t before = record.before.word.load(std::memory_order_acquire);
    bool was_given = before && ledger::fd_origin(before) == ledger::FdOrigin::inherited;
    if (!was_given || !is_by_accident(record, release.word)) return;
    if (likeness(record.before.closed_site, release.site) == 0) return;
    describe_opening(release, seen);
    describe_close(record.before, seen);
    seen.opened_ns = record.closed.acquired_ns;
    seen.opened_tid = static_cast<int32_t>(record.closed.tid);
  }
  Misuse* misuse = note(seen);
  if (!misuse) return;
  remember(t_run, misuse);
  if (!is_given) return;
  g_standard_noted[fd].store(misuse, std::memory_order_release);
  if (!are_all_noted()) return;
  for (auto& noted : g_standard_noted) take_standard_back(noted);
}

void note_standard_filled(int fd, const FdRecord& record, uint32_t serial) {
  if (!is_standard(fd) || !g_standard_noted[fd].load(std::memory_order_acquire)) return;
  if (record.flags & ledger::kFdPlaced || ledger::leads_to_standard(record.target, serial))
    take_standard_back(g_standard_noted[fd]);
}

void note_stream_closed_again(int fd, ledger::FdOwner owner, const ClosedFd& closed, const ClosedFd& before,
                              uint32_t site) {
  Misuse seen{};
  describe_double_close(closed, before, site, seen);
  seen.owner_kind = static_cast<uint8_t>(owner);
  seen.fd = fd;
  note(seen);
}

void reset_misuse_after_fork() {
  g_lock.reset();
  for (auto& noted : g_standard_noted) noted.store(nullptr, std::memory_order_relaxed);
  g_generation.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace unfreed::track
