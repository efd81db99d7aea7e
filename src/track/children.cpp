#include "track/children.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <atomic>
#include <cstring>

#include "base/lock.h"
#include "base/numbered_entries.h"
#include "base/own_memory.h"
#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"
#include "track/counters.h"
#include "track/epochs.h"
#include "track/failures.h"
#include "track/sites.h"
#include "track/tracker.h"

namespace unfreed::track {

using ledger::ChildRecord;
using ledger::Kind;
using ledger::SectionId;
using State = ledger::ChildState;

namespace {

constexpr uint32_t kNone = ~0u;
constexpr size_t kBuckets = 1024;
constexpr size_t kMostEarly = 64;
constexpr uint32_t kFirstSweep = 1024;

std::atomic<uint64_t> g_last_start;  // number of the last call that began

constinit base::Lock g_lock;   // guards everything below
uint32_t g_buckets[kBuckets];  // pid → its oldest record + 1
uint32_t* g_next;              // per record: next in its bucket, or in the free list, + 1
constinit base::GrowingMemory g_next_memory;
uint32_t g_first_free;  // record + 1
uint32_t g_in_use;
uint32_t g_next_sweep = kFirstSweep;
/// Pids that were reaped, perhaps before they were recorded.
struct Early {
  pid_t pid;
  uint64_t last_start;  ///< that had begun by then
};
Early g_early[kMostEarly];
uint32_t g_next_early;

ChildRecord& record_at(uint32_t index) { return *g_tracker.writer.at<ChildRecord>(SectionId::children, index); }
uint32_t& bucket_of(pid_t pid) { return g_buckets[static_cast<uint32_t>(pid) % kBuckets]; }

void free_record(uint32_t index) {
  ChildRecord& record = record_at(index);
  for (uint32_t* link = &bucket_of(record.pid); *link; link = &g_next[*link - 1])
    if (*link == index + 1) {
      *link = g_next[index];
      break;
    }
  record.state.store(static_cast<uint32_t>(State::free), std::memory_order_release);
  g_next[index] = g_first_free;
  g_first_free = index + 1;
  --g_in_use;
}

void release_record(uint32_t index) {
  ChildRecord& record = record_at(index);
  if (record.site && !(record.flags & ledger::kChildIgnored)) count_released_with_peak(Kind::child, record.site);
  free_record(index);
}

/// Removes records of children that the kernel has reaped (SIGCHLD ignored), or that were reaped through no hooked
/// function. Called when there are many.
void sweep() {
  uint64_t count = g_tracker.writer.section(SectionId::children).count.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < count; ++i) {
    ChildRecord& record = record_at(i);
    if (record.state.load(std::memory_order_relaxed) == static_cast<uint32_t>(State::free)) continue;
    siginfo_t about{};
    long result = base::raw_syscall(SYS_waitid, P_PID, record.pid, reinterpret_cast<long>(&about),
                                    WEXITED | WNOHANG | WNOWAIT | __WALL);
    if (result == -ECHILD) release_record(i);
  }
  g_next_sweep = g_in_use * 2 > kFirstSweep ? g_in_use * 2 : kFirstSweep;
}

uint32_t take_record() {
  if (g_in_use >= g_next_sweep) sweep();
  auto& count = g_tracker.writer.section(SectionId::children).count;
  uint32_t index;
  if (g_first_free) {
    index = g_first_free - 1;
    g_first_free = g_next[index];
  } else {
    index = static_cast<uint32_t>(count.load(std::memory_order_relaxed));
    if (!g_next_memory.grow_to((index + 1) * sizeof *g_next) ||
        !g_tracker.writer.touch<ChildRecord>(SectionId::children, index)) {
      g_tracker.writer.drop(ledger::Dropped::children_full);
      return kNone;
    }
    count.store(index + 1, std::memory_order_release);
  }
  ++g_in_use;
  return index;
}

/// Behind those of the same pid that are there: of two, the older one ends first.
void append_to_bucket(uint32_t index) {
  uint32_t* link = &bucket_of(record_at(index).pid);
  while (*link) link = &g_next[*link - 1];
  g_next[index] = 0;
  *link = index + 1;
}

/// Caller holds g_lock.
void enter_record(pid_t pid, uint32_t site, uint32_t flags) {
  uint32_t index = take_record();
  if (index == kNone) return;
  ChildRecord& record = record_at(index);
  record.flags = flags;
  record.site = site;
  record.pid = pid;
  record.creator_tid = base::current_tid();
  record.serial = g_tracker.serial.fetch_add(1, std::memory_order_relaxed) + 1;
  record.started_ns = base::monotonic_ns();
  note_time(record.started_ns);
  append_to_bucket(index);
  record.state.store(static_cast<uint32_t>(State::started), std::memory_order_release);
}

bool take_early(pid_t pid, ChildStart start) {
  for (Early& early : g_early)
    if (early.pid == pid && early.last_start >= start.number) {
      early.pid = 0;
      return true;
    }
  return false;
}

bool is_limit(int error) { return error == EAGAIN || error == ENOMEM; }

}  // namespace

ChildStart child_starting() {
  if (!enter(Kind::child)) return {};
  return {g_last_start.fetch_add(1, std::memory_order_acq_rel) + 1};
}

void child_started(ChildStart start, pid_t pid, uint16_t hook, const unwind::Registers& from) {
  if (!start.number) return;
  int saved = errno;
  if (pid > 0) {
    uint32_t site = capture_site(Kind::child, hook, from);
    uint32_t flags = t_local.pause_depth ? ledger::kChildIgnored : 0;
    base::Hold hold(g_lock);
    if (!flags) count_acquired_with_peak(Kind::child, site);
    if (!take_early(pid, start))
      enter_record(pid, site, flags);
    else if (!flags)
      count_released_with_peak(Kind::child, site);
  } else if (pid < 0 && is_limit(saved)) {
    note_failure(Kind::child, hook, saved, from);
  }
  errno = saved;
}

void child_reaped(pid_t pid) {
  if (pid <= 0 || !enter(Kind::child)) return;
  base::Hold hold(g_lock);
  for (uint32_t link = bucket_of(pid); link; link = g_next[link - 1])
    if (record_at(link - 1).pid == pid) return release_record(link - 1);
  g_early[g_next_early++ % kMostEarly] = {pid, g_last_start.load(std::memory_order_acquire)};
}

void child_live_since(uint32_t serial, LiveSince& out) {
  uint64_t count = g_tracker.writer.section(SectionId::children).count.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < count; ++i) {
    ChildRecord& record = record_at(i);
    if (record.state.load(std::memory_order_acquire) == static_cast<uint32_t>(State::free) || record.flags) continue;
    if (static_cast<int32_t>(record.serial - serial) > 0) out.add(record.site);
  }
}

namespace {
/// Those of one thread (CONFIG_PROC_CHILDREN).
void enter_inherited(int tid) {
  base::FixedText<64> path;
  path.add("/proc/self/task/").add_signed(tid).add("/children");
  char text[4096];
  long size = base::read_file(path.c_str(), text, sizeof text);
  base::each_id({text, size > 0 ? static_cast<size_t>(size) : 0}, [](int pid) {
    base::Hold hold(g_lock);
    enter_record(pid, 0, ledger::kChildInherited);
  });
}
}  // namespace

void set_adopts_orphans(bool does) {
  if (!enter(Kind::child)) return;
  std::atomic<uint32_t>& flags = g_tracker.writer.header().flags;
  if (does)
    flags.fetch_or(ledger::kHeaderFlagAdopts, std::memory_order_relaxed);
  else
    flags.fetch_and(~ledger::kHeaderFlagAdopts, std::memory_order_relaxed);
}

bool prepare_children() {
  if (!g_next_memory.prepare(g_tracker.writer.section(SectionId::children).capacity * sizeof *g_next)) return false;
  g_next = static_cast<uint32_t*>(g_next_memory.start());
  return true;
}

void children_take_inherited() {
  siginfo_t about{};
  long result =
      base::raw_syscall(SYS_waitid, P_ALL, 0, reinterpret_cast<long>(&about), WEXITED | WNOHANG | WNOWAIT | __WALL);
  // As a rule there are none.
  long threads = base::is_error(result) ? result : base::open_file("/proc/self/task", O_RDONLY | O_DIRECTORY);
  if (!base::is_error(threads)) {
    alignas(8) char buffer[2048];
    base::each_numbered_entry(threads, buffer, [](int tid) {
      enter_inherited(tid);
      return true;
    });
    base::close_file(threads);
  }
  // Before exec, too, it may have asked for them.
  int adopts = base::current_pid() == 1;
  if (!adopts) base::raw_syscall(SYS_prctl, PR_GET_CHILD_SUBREAPER, reinterpret_cast<long>(&adopts));
  if (adopts) g_tracker.writer.header().flags.fetch_or(ledger::kHeaderFlagAdopts, std::memory_order_relaxed);
}

void reset_children_after_fork() {
  g_lock.reset();
  g_next_memory.reset_lock_after_fork();
  std::memset(g_buckets, 0, sizeof g_buckets);
  g_first_free = 0;
  g_in_use = 0;
  g_next_sweep = kFirstSweep;
  for (Early& early : g_early) early = {};
}

}  // namespace unfreed::track
