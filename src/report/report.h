// The evaluated report: the result of evaluating a ledger, and the source of everything that users see.
//
//     ledger ──evaluate()──▶ ┌────────┐ ──write_json()──▶ JSON ──read_json()──▶ the same Report
//                            │ Report │ ──renderers.inc, compare() …
//                            └────────┘ ──evaluate_rule()──▶ verdicts
//
// The structure is plain data in an arena: the runtime makes it inside its host, without malloc. Texts are views of
// the report's source (a ledger, a JSON text) or of the arena; both must outlive the report. describe.h gives the
// meaning of each member, once; JSON, its reader and the JSON Schema are generated from it.
#pragma once

#include <cstdint>
#include <optional>

#include "ledger/layout.h"
#include "report/sites.h"
#include "report/stacks.h"
#include "settings/subjects.h"

namespace unfreed::report {

struct KindGrowth {
  ledger::Kind kind = ledger::Kind::fd;
  Growth growth;
  std::optional<uint64_t> limit;
  std::optional<uint64_t> limit_in_ns;
};
struct Watch {
  uint64_t looks = 0;
  uint64_t duration_ns = 0;  ///< from the first to the last
  List<KindGrowth> kinds;
};

/// An open descriptor that belongs to no site.
struct Descriptor {
  int64_t fd = -1;
  Text origin;
  Text target;
  List<Text> flags;
  uint64_t site = 0;
};

/// A thread and what it holds.
struct Holdings {
  uint64_t fd = 0;
  int64_t heap = 0;
  int64_t heap_bytes = 0;
  List<Object> descriptors;
  uint64_t descriptors_omitted = 0;
};
struct Thread {
  int64_t thread = 0;
  Text name;
  Text thread_class;
  Text state;
  Text kernel_state;
  Text waits_in;
  uint64_t site = 0;
  std::optional<int64_t> created_by;
  std::optional<uint64_t> age_ns;
  std::optional<uint64_t> finished_ago_ns;
  CallId start_routine = 0;
  std::optional<StackId> stack;  ///< where it waits
  bool truncated = false;
  Holdings holds;
};

/// A goroutine of a group, and what it holds.
struct Goroutine {
  uint64_t goroutine = 0;
  std::optional<uint64_t> created_by;
  std::optional<uint64_t> waiting_ns;
  uint64_t fd = 0;
  List<Object> descriptors;
  uint64_t descriptors_omitted = 0;
};
/// Goroutines that one go statement started, and that wait (or are) at one place.
struct GoroutineGroup {
  uint64_t count = 0;
  Text state;
  Text wait_reason;
  StackId created_at = 0;  ///< one frame
  StackId stack = 0;
  bool truncated = false;
  std::optional<uint64_t> waiting_ns;  ///< the longest
  uint64_t fd = 0;                     ///< descriptors that they hold
  List<Goroutine> goroutines;          ///< those that hold most, then the oldest
  uint64_t goroutines_omitted = 0;
};

/// A child process that belongs to no site.
struct Child {
  Text origin;
  int64_t process = 0;
  Text name;
  Text state;
  std::optional<int64_t> thread;
  std::optional<uint64_t> age_ns;
};

// ---- what was done with descriptors ----

/// A call that explains an invalid close.
struct ClosingCall {
  Text function;
  int64_t thread = 0;
  uint64_t age_ns = 0;
  StackId stack = 0;
  bool truncated = false;
};
struct Misuse {
  Text type;
  uint64_t count = 0;
  int64_t fd = -1;
  Text owner;
  std::optional<ClosingCall> opened;
  std::optional<ClosingCall> first_closed;
  std::optional<ClosingCall> closed;
  std::optional<ClosingCall> reopened;
  std::optional<ClosingCall> earlier_closed;
  std::optional<ClosingCall> earlier_opened;
  Text suppressed_by;
};

/// A descriptor that another program inherited.
struct ExecLeak {
  int64_t fd = -1;
  uint64_t count = 0;
  Text target;
  Text program;
  Text started_by;
  int64_t process = 0;
  Text acquired_by;
  uint64_t age_ns = 0;
  StackId stack = 0;
  bool truncated = false;
  Text suppressed_by;
};

/// A program that was started and not tracked.
struct UntrackedProgram {
  Text program;
  Text reason;
  uint64_t count = 0;
  bool allowed = false;
};

// ---- what ran out ----

struct Exhaustion {
  Text function;
  ledger::Kind kind = ledger::Kind::fd;
  Text error;
};
/// A number of UNFREED_REPORT_AT that was reached.
struct Threshold {
  Text rule;
  uint64_t value = 0;  ///< the rule's own number, or a doubled one
};
struct Failure {
  Text function;
  ledger::Kind kind = ledger::Kind::fd;
  Text error;
  uint64_t count = 0;
  Text first;
  uint64_t first_after_ns = 0;
  uint64_t live_then = 0;
  int64_t thread = 0;
  StackId stack = 0;
  bool truncated = false;
};

// ---- the whole ----

enum class Trigger : uint8_t { exit, signal, api, snapshot, post_mortem, exhaustion, threshold };

struct Tool {
  Text name = "unfreed";
  Text version = UNFREED_VERSION;
};

struct Process {
  int64_t pid = 0;
  int64_t ppid = 0;
  Text run;  ///< report/author.h
  Text started;
  Text exe;
  Text program;  ///< the name it was started by, where that is not the executable's
  List<Text> argv;
  std::optional<uint64_t> duration_ns;
  bool forked = false;
  bool attached = false;  ///< while it ran: what is counted, and duration_ns, begin then
  Text directory;
  Text test;                   ///< that somebody else ran when the process was started
  bool outside_rules = false;  ///< no rule was applied
  std::optional<int64_t> exit_status;
  std::optional<int64_t> signal;
  Text signal_name;
};

struct RuleOutcome {
  Text rule;
  std::optional<uint64_t> value;  ///< absent where the rule could not be checked
  bool broken = false;
  Text unchecked;     ///< why
  uint64_t site = 0;  ///< of a site rule: the one with the highest value, where it is known
  bool is_checked() const { return value.has_value(); }
};

/// Whether it was found out what the process can still get at.
enum class GradingState : uint8_t { done, refused };
struct Grading {
  GradingState state = GradingState::done;
  Text reason;
  uint64_t age_ns = 0;
  Text no_retained_bytes = {};
};

/// What the state of what a call site holds says about the mistake, and what to do.
struct Hint {
  Text name;
  uint64_t site = 0;   ///< the worst of the call site; 0: of the whole report
  uint64_t count = 0;  ///< of how many it is true
  uint64_t bytes = 0;
  Text text;
};

struct Module {
  Text path;
  Text build_id;
  uint64_t base = 0;
  uint64_t size = 0;
};

/// What the kernel says of a process's memory.
struct Memory {
  uint64_t resident = 0;
  uint64_t anonymous = 0;
  uint64_t file = 0;
  uint64_t shared = 0;
  uint64_t swapped = 0;
};

struct Report {
  uint64_t schema_version = 2;
  Tool tool;
  Trigger trigger = Trigger::exit;
  bool complete = true;
  List<Text> notes;
  Process process;
  Text backend;            ///< words::kBackends; "" not known
  bool preloaded = false;  ///< of one that was traced: the library was in it, too
  ledger::Coverage coverage[ledger::kKindCount] = {};
  std::optional<Grading> grading;    ///< absent where nobody asked
  std::optional<Watch> watch;        ///< absent where it was not watched
  std::optional<Memory> memory;      ///< of a process that is not tracked
  std::optional<uint64_t> fd_limit;  ///< the same
  bool reconciled = false;
  std::optional<Totals> totals[kSubjectCount];  ///< absent where the subject was not seen
  Totals worst_site[kSubjectCount];  ///< of each counter that site rules may name: the highest of any place that counts
  List<Site> sites;                  ///< worst first
  uint64_t sites_omitted = 0;
  List<Place> places;             ///< of `sites`, worst first; not written
  List<RetentionNode> retention;  ///< those that keep most
  List<Descriptor> descriptors;
  uint64_t descriptors_omitted = 0;
  List<Thread> threads;
  uint64_t threads_omitted = 0;
  List<GoroutineGroup> goroutines;
  uint64_t goroutines_omitted = 0;
  List<Child> children;
  uint64_t children_omitted = 0;
  List<Misuse> misuse;
  List<ExecLeak> exec_leaks;
  bool of_run = false;           ///< of a run's command: what is complete, and what was not tracked, is the whole run's
  uint64_t clean_processes = 0;  ///< of_run: that have no report of their own
  List<UntrackedProgram> untracked;
  std::optional<Exhaustion> exhaustion;
  std::optional<Threshold> threshold;
  List<Failure> failures;
  List<Hint> hints;
  List<RuleOutcome> rules;
  uint64_t rules_asked = 0;  ///< more than in `rules` where there was no memory for all; not written
  List<Module> modules;
  Stacks stacks;

  const Totals* totals_of(Subject subject) const {
    const auto& one = totals[index_of(subject)];
    return one ? &*one : nullptr;
  }
};

}  // namespace unfreed::report
