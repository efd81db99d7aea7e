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
#include <span>
#include <string_view>

#include "base/arena.h"
#include "ledger/layout.h"
#include "settings/subjects.h"

namespace unfreed::report {

using Text = std::string_view;
template <class T>
using List = base::List<T>;

// ---- stacks ----

/// The name of a module that is not known.
inline constexpr Text kUnknownModule = "[unknown]";

/// A source-level frame of a call: the function, or one that was inlined into it.
struct Frame {
  Text function;
  Text file;
  uint32_t line = 0;  ///< 0 unknown
  bool inlined = false;
  Text linkage_name;  ///< as in the symbol table; known only until the report is written
};

/// A call in the code: an instruction of a module, and its frames, inlined ones first.
struct Call {
  Text module;    ///< path; "" unknown
  Text build_id;  ///< hexadecimal; "" where there is none
  uint64_t offset = 0;
  List<Frame> frames;  ///< empty where nothing is known
};
using CallId = uint32_t;  ///< index in Stacks::calls + 1; 0: none

/// A stack is a node: its innermost call, then its caller's node, and so on. Stacks share the nodes of common callers.
using StackId = uint32_t;  ///< index in Stacks::nodes + 1; 0: no frames
struct Node {
  CallId call = 0;
  StackId caller = 0;  ///< less than the node's own number
};

struct Stacks {
  List<Call> calls;
  List<Node> nodes;

  /// Calls `visit(call)` innermost first. Bounded by the table, whatever is in it.
  template <class Visit>
  void each_call(StackId stack, Visit visit) const {
    while (stack && stack <= nodes.size()) {
      const Node& node = nodes[stack - 1];
      if (node.call && node.call <= calls.size()) visit(calls[node.call - 1]);
      stack = node.caller < stack ? node.caller : 0;
    }
  }
};

// ---- what is held ----

enum class Grade : uint8_t { leaked, held, informational };

/// Of what is live, what the process could not get at any more when that was last found out.
struct Losses {
  uint64_t lost = 0;
  uint64_t lost_bytes = 0;
  uint64_t indirectly_lost = 0;
  uint64_t indirectly_lost_bytes = 0;
  uint64_t possibly_lost = 0;
  uint64_t possibly_lost_bytes = 0;

  void add(const Losses& other) {
    lost += other.lost;
    lost_bytes += other.lost_bytes;
    indirectly_lost += other.indirectly_lost;
    indirectly_lost_bytes += other.indirectly_lost_bytes;
    possibly_lost += other.possibly_lost;
    possibly_lost_bytes += other.possibly_lost_bytes;
  }
};

/// A number that sites and places have, by its name.
template <class Numbers>
uint64_t number_of(const Numbers& numbers, Counter counter) {
  switch (counter) {
    case Counter::live:
      return numbers.live;
    case Counter::bytes:
      return numbers.bytes;
    case Counter::total:
      return numbers.total;
    case Counter::total_bytes:
      return numbers.total_bytes;
    case Counter::peak:
      return numbers.peak;
    case Counter::running:
      return numbers.running;
    case Counter::lost:
      return numbers.lost;
    case Counter::lost_bytes:
      return numbers.lost_bytes;
    case Counter::indirectly_lost:
      return numbers.indirectly_lost;
    case Counter::indirectly_lost_bytes:
      return numbers.indirectly_lost_bytes;
    case Counter::possibly_lost:
      return numbers.possibly_lost;
    case Counter::possibly_lost_bytes:
      return numbers.possibly_lost_bytes;
    case Counter::closed_by_gc:
      return numbers.closed_by_gc;
    case Counter::growth:
      if constexpr (requires { numbers.growth->per_day; }) return numbers.growth ? numbers.growth->per_day : 0;
      return 0;
    default:
      return 0;
  }
}

/// One thing that a site holds. Members that do not apply are absent.
struct Object {
  std::optional<int64_t> fd;
  std::optional<int64_t> process;
  std::optional<uint64_t> handle;
  std::optional<int64_t> thread;  ///< the thread itself, or the one that acquired the object
  std::optional<uint64_t> goroutine;
  std::optional<uint64_t> bytes;
  Text target;
  List<Text> flags;
  Text name;
  Text state;
  std::optional<bool> detached;
  bool lost = false;
  std::optional<int64_t> created_by;
  std::optional<uint64_t> age_ns;
  std::optional<uint64_t> finished_ago_ns;
  Text owner;
  Text origin;
  CallId start_routine = 0;
  uint64_t site = 0;
};

/// What of a site's is of about one age: all that it holds is in one of its groups, or its ages are not known. The age
/// of a heap block is known to lie between two bounds, since no clock is read for each.
struct AgeGroup {
  uint64_t age_ns = 0;       ///< of the oldest: at most
  uint64_t at_least_ns = 0;  ///< of the youngest
  uint64_t live = 0;
  uint64_t bytes = 0;
};

struct AgeSummary {
  uint64_t oldest_ns = 0;
  uint64_t median_ns = 0;
};
/// `ages`: the oldest first.
AgeSummary summarize(std::span<const AgeGroup> ages);

/// What became of a number while a process was watched (render/growth.h).
enum class Course : uint8_t { unknown, steady, levels_off, grows };
struct Growth {
  Course course = Course::unknown;
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t per_day = 0;  ///< rounded up; if it grows
  uint64_t per_day_least = 0;
  uint64_t per_day_most = 0;
  Text reason;  ///< if it is not known
};
/// With fewer looks at a process, growth is not known.
inline constexpr uint64_t kFewestLooks = 12;

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

/// What identifies a call site.
enum class PlaceKnownBy : uint8_t { line, function, module };

/// One distinct stack by which one function acquired resources of a kind.
struct Site : Losses {
  uint64_t id = 0;
  ledger::Kind kind = ledger::Kind::fd;
  uint64_t signature = 0;
  PlaceKnownBy known_by = PlaceKnownBy::line;
  Grade grade = Grade::held;
  uint64_t live = 0;
  uint64_t bytes = 0;
  uint64_t total = 0;
  uint64_t total_bytes = 0;
  uint64_t closed_by_gc = 0;
  uint64_t peak = 0;  ///< 0: not known
  uint64_t at_peak = 0;
  uint64_t running = 0;
  bool growing = false;
  Text acquired_by;
  StackId stack = 0;
  bool truncated = false;
  bool overflow = false;
  Text owner;  ///< "libc" for what libc holds for its own use
  uint64_t first_age_ns = 0;
  uint64_t oldest_age_ns = 0;  ///< of what is live, as summarize() gives it; 0: not known
  uint64_t median_age_ns = 0;
  List<AgeGroup> ages;           ///< the oldest first; empty: not known
  std::optional<Growth> growth;  ///< of the call site
  List<Object> objects;
  uint64_t objects_omitted = 0;
  Text suppressed_by;
  Text exceeds;  ///< the suppression that would cover it, but for its limit

  uint64_t value(Counter counter) const { return number_of(*this, counter); }
  /// Sets what `ages` come to.
  void take_ages();
  /// Do rules count it?
  bool counts() const { return suppressed_by.empty() && owner.empty(); }
};

/// A call site: the sites of one signature, and their sums (evaluate/places.h). Suppressed sites have their own.
struct Place : Losses {
  List<uint32_t> sites;  ///< indexes, the worst first
  uint64_t live = 0;
  uint64_t bytes = 0;
  uint64_t total = 0;
  uint64_t total_bytes = 0;
  uint64_t closed_by_gc = 0;
  uint64_t peak = 0;  ///< at least; 0: not known
  uint64_t running = 0;
  bool growing = false;
  std::optional<Growth> growth;
  bool truncated = false;

  uint32_t first() const { return sites.empty() ? 0 : sites[0]; }
  uint64_t value(Counter counter) const { return number_of(*this, counter); }
};

/// Who keeps blocks alive: a root, where paths of pointers begin, or the blocks of one site that were reached through
/// those of the parent.
struct RetentionNode {
  uint64_t parent = 0;  ///< index + 1, less than the node's own; 0: it is a root
  ledger::RootKind root = ledger::RootKind::none;
  std::optional<int64_t> thread;
  CallId place = 0;  ///< of a root: the variable, or the function whose frame it is
  std::optional<uint64_t> address;
  bool joined = false;  ///< stands for variables that follow, too
  uint64_t site = 0;
  Text type;
  uint64_t link = 0;
  uint64_t blocks = 0;
  uint64_t bytes = 0;
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
  List<Text> argv;
  std::optional<uint64_t> duration_ns;
  bool forked = false;
  Text directory;
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
  Text backend;  ///< words::kBackends; "" not known
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
