// The state of a ledger once evaluated: descriptors reconciled with the kernel's list, sites' counts settled, and
// everything divided into what rules count and what they do not. The report is built, and rules are evaluated, from
// this.
//
// How descriptors are classed:
//
//     in the table        in the kernel      class
//     ─────────────────   ────────────────   ───────────────────────────────────────────────────────────
//     acquired, received  yes, or not asked  held (libc: the site is libc's own; standard: see below)
//     inherited …         yes, or not asked  inherited, libc, ignored
//     any                 no                 closed_unseen: closed through no hooked function; not counted
//     none                yes                unattributed, which is held, too (standard: number 0 to 2)
//
// A number from 0 to 2 is a standard stream where the program put something there: by asking for the number (dup2), by
// duplicating or reopening something, or because it is /dev/null or a terminal. Else it got the number by accident, as
// the standard stream had been closed, and holds it like any other.
//
// Internal to this folder. Allocation-free, async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "evaluate/evaluate.h"
#include "ledger/view.h"
#include "report/report.h"

namespace unfreed::report {

enum class FdClass : uint8_t { held, inherited, unattributed, libc, ignored, standard, closed_unseen };

inline constexpr uint32_t kNoIndex = UINT32_MAX;

struct EvaluatedFd {
  int32_t fd;
  uint32_t site;  ///< 0: none
  uint32_t serial;
  uint32_t kernel;  ///< index into kernel_fds, or kNoIndex
  uint64_t acquired_ns;
  uint32_t tid;
  FdClass fd_class;
  bool lost;  ///< nothing leads to the stream that owns it
  ledger::FdOrigin origin;
  uint8_t owner;       ///< ledger::FdOwner
  uint64_t goroutine;  ///< that acquired it; 0: none
};

struct EvaluatedThread {
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
  bool libc;  ///< started by libc for itself; unattributed
  bool lost;  ///< its pthread_t lies nowhere
  char name[16];
  // What the thread holds.
  uint32_t first_fd;  ///< in Evaluation::fds_by_thread
  uint32_t fds;
  int64_t heap_blocks;  ///< what it allocated itself, less what it freed itself
  int64_t heap_bytes;

  bool is_unattributed() const { return record == kNoIndex; }
};

enum class ChildClass : uint8_t {
  zombie,  ///< has ended and was not waited for
  running,
  unknown,        ///< not waited for; whether it has ended could not be asked
  reaped_unseen,  ///< gone, though no hooked function waited for it
};
struct EvaluatedChild {
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
  bool adopted;       ///< unattributed, and may be an orphan that another process has started
};

/// A timer, shared memory, a library …
struct EvaluatedHandle {
  uint32_t record;  ///< index in the ledger
  uint32_t site;    ///< 0: none
  uint32_t serial;
  ledger::Kind kind;
  bool ignored;
  uint64_t bytes;
};

/// How much of a suppression's limit (max=) is used.
struct Allowance {
  uint64_t used;
  bool is_exceeded;
};

struct EvaluatedMisuse {
  uint32_t index;  ///< in the ledger
  uint32_t suppression;
  uint64_t count;
};
struct EvaluatedExecLeak {
  uint32_t index;
  uint32_t suppression;
  uint64_t count;
};

struct EvaluatedSite : Losses {
  uint64_t live;   ///< what was acquired here and is held
  uint64_t bytes;  ///< heap
  uint64_t total;
  uint64_t total_bytes;
  uint64_t closed_by_gc;  ///< descriptors that Go's garbage collector closed
  uint64_t peak;          ///< 0: not known
  uint64_t at_peak;       ///< live when its kind had its peak
  uint32_t running;       ///< threads and children
  uint32_t first_object;  ///< in Evaluation::fds, threads, children or handles
  uint32_t objects;
  uint32_t leader;       ///< of indirectly lost blocks: the only site that leads to them; 0: there is none
  uint32_t suppression;  ///< index, or kNoIndex
  uint32_t exceeds;      ///< the suppression that would cover it but for its limit; or kNoIndex
  uint64_t signature;
  PlaceKnownBy known_by;
  ledger::Kind kind;
  bool libc;
  bool overflow;
  bool valid;  ///< of a known kind; false also where no heap block has ever been acquired

  uint64_t value(Counter counter) const { return number_of(*this, counter); }
  bool is_suppressed() const { return suppression != kNoIndex; }
  bool counts() const { return valid && !libc && !is_suppressed(); }
};

struct Evaluation {
  const ledger::View* view = nullptr;
  std::span<EvaluatedSite> sites;      ///< by ledger index
  std::span<Allowance> allowances;     ///< by suppression, if one has a limit
  std::span<EvaluatedFd> fds;          ///< by site, then oldest first
  std::span<EvaluatedThread> threads;  ///< by site, then oldest first
  std::span<EvaluatedChild> children;  ///< by site, then oldest first
  std::span<EvaluatedHandle> handles;  ///< by site, then oldest first
  std::span<EvaluatedMisuse> misuses;  ///< in the ledger's order
  std::span<EvaluatedExecLeak> exec_leaks;
  std::span<uint32_t> fds_by_thread;      ///< indexes into fds
  std::span<uint32_t> listed;             ///< sites to show, worst first (order_sites)
  std::span<std::string_view> functions;  ///< names of the hooked functions, by number
  std::span<uint32_t> by_place;           ///< the sites that were used, those of one place together
  bool reconciled = false;                ///< kernel facts are there
  bool threads_listed = false;
  bool children_listed = false;
  bool graded = false;  ///< it is known what the process could not get at any more
  bool settled = true;  ///< counters could be read undisturbed
  bool short_of_memory = false;
  std::optional<bool> is_well_known;  ///< the program that its name says, once somebody has asked (accepted.cpp)
  Totals totals[kSubjectCount];

  Totals& of(Subject subject) { return totals[index_of(subject)]; }
  const Totals& of(Subject subject) const { return totals[index_of(subject)]; }
  /// Uses `count` of a suppression's limit. False: it covers nothing, as more is used than it allows.
  bool use(std::span<const Suppression> suppressions, uint32_t suppression, uint64_t count);
  std::string_view function_name(uint16_t index) const { return index < functions.size() ? functions[index] : "?"; }
};

/// How a kind was covered, for this report: `off` if it was not tracked.
ledger::Coverage coverage_of(const ledger::View& view, ledger::Kind kind);

/// Reads everything once. Totals do not take suppressions into account yet.
void evaluate_ledger(const ledger::View& view, base::Arena& arena, Evaluation& out);

/// Counts what Go's garbage collector closed, by the functions that closed it.
void count_closes_by_gc(const ReportInput& input, Evaluation& evaluation);

/// The first suppression that covers a site, whatever its counts; kNoIndex for none.
uint32_t find_suppression(const ReportInput& input, const Evaluation& evaluation, uint32_t site);

/// Marks suppressed sites and adds them to the totals' `suppressed`.
void apply_suppressions(const ReportInput& input, base::Arena& arena, Evaluation& evaluation);

/// Fills in `listed`.
void order_sites(bool all_sites, base::Arena& arena, Evaluation& evaluation);

/// The kernel's list of threads, or of children, in order of their numbers.
struct ListedTask {
  int32_t id;
  uint32_t index;  ///< into kernel_tasks
  bool found;      ///< there is a record for it
};
std::span<ListedTask> list_kernel_tasks(base::Arena& arena, const Evaluation& evaluation, bool children);
/// nullptr where there is none.
ListedTask* find_listed(std::span<ListedTask> list, int32_t id);

// Parts of evaluate_ledger(), one file each.
void evaluate_fds(base::Arena& arena, Evaluation& evaluation);
void evaluate_threads(base::Arena& arena, Evaluation& evaluation);
void evaluate_children(base::Arena& arena, Evaluation& evaluation);
void evaluate_handles(base::Arena& arena, Evaluation& evaluation);
/// What the process could not get at any more. Call after evaluate_fds() and evaluate_threads().
void evaluate_grades(Evaluation& evaluation);
/// Requires the suppressions of sites.
void evaluate_misuse(const ReportInput& input, base::Arena& arena, Evaluation& evaluation);
/// Determines what each thread holds. Call after evaluate_fds() and evaluate_threads().
void evaluate_holdings(base::Arena& arena, Evaluation& evaluation);

}  // namespace unfreed::report
