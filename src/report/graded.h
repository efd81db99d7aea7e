// What a ledger comes to: its descriptors reconciled with what the kernel said, its sites' counts settled, and
// everything sorted into what counts for rules and what does not. The report is written, and rules are evaluated, from
// this.
//
// Which descriptors count (CONTRACT, "What counts at exit"):
//
//     in the table        in the kernel      class
//     ─────────────────   ────────────────   ───────────────────────────────────────────────────────────
//     acquired, received  yes, or not asked  held (libc: the site is libc's own; standard: number 0 to 2)
//     inherited …         yes, or not asked  inherited, libc, ignored
//     any                 no                 closed_unseen: closed behind our back, counts for nothing
//     none                yes                unattributed (standard: number 0 to 2)
//
// Internal to this folder. Allocation-free, async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "ledger/view.h"
#include "report/json.h"
#include "report/scratch.h"

namespace unfreed::report {

enum class FdClass : uint8_t { held, inherited, unattributed, libc, ignored, standard, closed_unseen };

inline constexpr uint32_t kNoIndex = UINT32_MAX;

struct GradedFd {
  int32_t fd;
  uint32_t site;  ///< 0: none
  uint32_t serial;
  uint32_t kernel;  ///< index into kernel_fds, or kNoIndex
  uint64_t acquired_ns;
  uint32_t tid;
  FdClass fd_class;
  ledger::FdOrigin origin;
  uint8_t owner;  ///< ledger::FdOwner
};

struct GradedThread {
  uint32_t record;  ///< index in the ledger; kNoIndex for one that only the kernel knows
  uint32_t kernel;  ///< index into kernel_tasks, or kNoIndex
  uint32_t site;
  uint32_t serial;
  int32_t tid;
  int32_t creator_tid;
  uint64_t started_ns;
  uint64_t finished_ns;
  uint64_t start_offset;
  uint32_t start_module;
  bool finished;  ///< neither joined nor detached: leaked. Else running
  bool detached;
  bool ignored;
  bool main;
  char name[16];
  // What it keeps from being released.
  uint32_t first_fd;  ///< in Graded::fds_by_thread
  uint32_t fds;
  int64_t heap_blocks;  ///< what it allocated itself, less what it freed itself
  int64_t heap_bytes;

  bool is_unattributed() const { return record == kNoIndex; }
};

enum class ChildClass : uint8_t {
  zombie,  ///< has ended and was not waited for
  running,
  unknown,        ///< not waited for; whether it has ended could not be asked
  reaped_unseen,  ///< gone, though no watched function waited for it
};
struct GradedChild {
  uint32_t kernel;  ///< index into kernel_tasks, or kNoIndex
  uint32_t site;
  uint32_t serial;
  int32_t pid;
  int32_t creator_tid;
  uint64_t started_ns;
  ChildClass child_class;
  bool inherited;
  bool ignored;
  bool unattributed;  ///< only the kernel knows of it
};

struct GradedMisuse {
  uint32_t index;  ///< in the ledger
  uint32_t suppression;
  uint64_t count;
};
struct GradedCrossing {
  uint32_t index;
  uint32_t suppression;
  uint64_t count;
};

struct GradedSite {
  uint64_t live;   ///< what is held and was taken here
  uint64_t bytes;  ///< heap
  uint64_t total;
  uint64_t total_bytes;
  uint64_t peak;          ///< 0: not known
  uint32_t running;       ///< threads and children
  uint32_t first_object;  ///< in Graded::fds or Graded::threads
  uint32_t objects;
  uint32_t suppression;  ///< index, or kNoIndex
  ledger::Kind kind;
  bool libc;
  bool valid;  ///< of a known kind

  bool is_suppressed() const { return suppression != kNoIndex; }
  bool counts() const { return valid && !libc && !is_suppressed(); }
};

struct FdTotals {
  uint64_t live;  ///< held (suppressed ones included), whatever their site
  uint64_t total;
  uint64_t peak;
  uint64_t open;  ///< all that are open, whoever took them
  uint64_t inherited;
  uint64_t received;  ///< of live: came in a message
  uint64_t unattributed;
  uint64_t standard;  ///< numbers 0 to 2, not inherited
  uint64_t libc;
  uint64_t ignored;
  uint64_t suppressed;  ///< of live
  uint64_t suppressed_total;
  uint64_t closed_unseen;
};
struct HeapTotals {
  uint64_t live, bytes, total, total_bytes;
  uint64_t libc, libc_bytes;
  uint64_t suppressed, suppressed_bytes;  ///< of live and bytes
  uint64_t suppressed_total, suppressed_total_bytes;
  uint64_t foreign_released;
  /// Of a sampled heap: the interval, and the standard errors of live and bytes. 0 where every block was tracked.
  uint64_t sample_bytes, live_error, bytes_error;
};
/// What threads and children have in common.
struct TaskTotals {
  uint64_t live;  ///< threads that have finished, neither joined nor detached; children that have ended, not waited for
  uint64_t running;  ///< without the main thread
  uint64_t total, peak;
  uint64_t ignored;
  uint64_t unattributed;  ///< there, and no watched function explains them
  uint64_t suppressed, suppressed_running;
  uint64_t suppressed_total;
};
struct ThreadTotals : TaskTotals {
  uint64_t detached;  ///< of running
  uint64_t libc;      ///< created by libc for its own use
};
struct ChildTotals : TaskTotals {
  uint64_t unknown;
  uint64_t reaped_unseen;
  uint64_t inherited;
};
/// By ledger::MisuseKind.
struct MisuseTotals {
  uint64_t live;  ///< all that are not suppressed, but for not_open
  uint64_t by_kind[5];
  uint64_t suppressed;
};
struct CrossingTotals {
  uint64_t live;
  uint64_t suppressed;
};

class StackHashes;

struct Graded {
  const ledger::View* view = nullptr;
  std::span<GradedSite> sites;      ///< by ledger index
  std::span<GradedFd> fds;          ///< by site, then oldest first
  std::span<GradedThread> threads;  ///< by site, then oldest first
  std::span<GradedChild> children;  ///< by site, then oldest first
  std::span<GradedMisuse> misuses;  ///< in the ledger's order
  std::span<GradedCrossing> crossings;
  std::span<uint32_t> fds_by_thread;  ///< indexes into fds
  std::span<uint32_t> listed;         ///< sites to show, worst first (order_sites)
  std::span<std::string_view> doors;
  StackHashes* hashes = nullptr;  ///< for signatures; set by whoever makes the report
  bool reconciled = false;        ///< kernel facts are there
  bool threads_listed = false;
  bool children_listed = false;
  bool settled = true;  ///< counters could be read undisturbed
  bool short_of_memory = false;
  FdTotals fd{};
  HeapTotals heap{};
  ThreadTotals thread{};
  ChildTotals child{};
  MisuseTotals misuse{};
  CrossingTotals crossing{};

  std::string_view door(uint16_t index) const { return index < doors.size() ? doors[index] : std::string_view("?"); }
};

/// How a kind was covered, as far as this report is concerned: `off` for kinds that were not tracked.
ledger::Coverage coverage_of(const ledger::View& view, ledger::Kind kind);

/// Memory grade() needs for this view.
size_t graded_bytes(const ledger::View& view);

/// Reads everything once; totals do not know about suppressions yet.
void grade(const ledger::View& view, Scratch& scratch, Graded& out);

/// The first suppression that covers a site, whatever its counts; kNoIndex for none.
uint32_t find_suppression(const ReportInput& input, const Graded& graded, uint32_t site);

/// Marks suppressed sites and takes them into the totals' `suppressed`.
void apply_suppressions(const ReportInput& input, Graded& graded);

/// Fills in `listed`.
void order_sites(bool all_sites, Scratch& scratch, Graded& graded);

/// The kernel's list of threads, or of children, in order of their numbers.
struct ListedTask {
  int32_t id;
  uint32_t index;  ///< into kernel_tasks
  bool found;      ///< there is a record for it
};
std::span<ListedTask> list_kernel_tasks(Scratch& scratch, const Graded& graded, bool children);
/// nullptr where there is none.
ListedTask* find_listed(std::span<ListedTask> list, int32_t id);

// Parts of grade(), one file each.
void grade_fds(Scratch& scratch, Graded& graded);
void grade_threads(Scratch& scratch, Graded& graded);
void grade_children(Scratch& scratch, Graded& graded);
/// Needs the suppressions of sites.
void grade_misuse(const ReportInput& input, Scratch& scratch, Graded& graded);
/// What each thread holds. After grade_fds() and grade_threads().
void grade_holdings(Scratch& scratch, Graded& graded);

}  // namespace unfreed::report
