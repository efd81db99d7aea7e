// Making a report from inside the process: a copy of it writes the JSON, with functions' names but no source lines, and
// says in a line where it is. The process waits meanwhile: a child that it left to itself would be seen by its program
// (child_process.h). The last report of a small process with one thread is made without a copy (make_alone).
#include "runtime/report_now.h"

#include <errno.h>

#include <cstring>
#include <new>
#include <string_view>

#include "base/arena.h"
#include "base/bounded_call.h"
#include "base/lock.h"
#include "base/own_memory.h"
#include "base/passing_memory.h"
#include "base/regular_file.h"
#include "base/syscall.h"
#include "base/text.h"
#include "evaluate/evaluate.h"
#include "evaluate/verdict.h"
#include "kernel/kernel_facts.h"
#include "kernel/kernel_tasks.h"
#include "kernel/program_facts.h"
#include "ledger/frozen.h"
#include "ledger/view.h"
#include "names/symbol_table.h"
#include "report/answer.h"
#include "report/describe.h"
#include "report/json_writer.h"
#include "runtime/child_process.h"
#include "runtime/grading.h"
#include "runtime/helper.h"
#include "runtime/libc_caches.h"
#include "runtime/messages.h"
#include "runtime/output.h"
#include "runtime/own_settings.h"
#include "runtime/preload.h"
#include "runtime/report_turn.h"
#include "runtime/runtime.h"
#include "settings/settings.h"
#include "settings/suppressions.h"
#include "track/own_child.h"
#include "track/rings.h"
#include "track/thread_stacks.h"
#include "track/threads.h"
#include "track/tracker.h"

namespace unfreed::runtime {

using base::is_error;
using report::Trigger;
using track::g_tracker;

namespace {

/// How long a report may take while the process runs on, and when it has ended.
constexpr int kMostMilliseconds = 10'000;
constexpr int kMostMillisecondsAtEnd = 40'000;

struct Request {
  Trigger trigger;
  const char* path;  ///< nullptr: as UNFREED_OUTPUT says
  uint32_t number;   ///< of this report in the process
  uint32_t limit;    ///< of those made because a limit was reached; 0: it is none
  bool has_timers;   ///< made where the process's timers and signals are ours: in a copy of it, or at its end
  /// The ledger as it was when the report was asked for, where the program may give back what it held meanwhile;
  /// nullptr: as it is.
  ledger::Frozen* frozen = nullptr;
  report::Threshold threshold;
  LiveGrading* grading = nullptr;  ///< where the copy is to find out what is lost
  bool is_alone = false;           ///< made by the only thread of a process that has ended, not by a copy
};

/// What the report is made from.
ledger::Writer& source_of(const Request& request) {
  return request.frozen ? request.frozen->writer() : g_tracker.writer;
}

/// Numbers reports from 1.
uint32_t next_number() { return g_tracker.writer.header().report_count.fetch_add(1, std::memory_order_relaxed) + 1; }

/// Lines about rules are written by every process.
Line line_kind() { return g_settings.has_rules() ? Line::verdict : Line::news; }

// ---- by this library ----

/// Reads the files of UNFREED_SUPPRESSIONS. False: one could not be read or understood (said on stderr).
bool read_suppressions(std::string_view files, base::Arena& arena, std::span<const report::Suppression>& read_ones) {
  bool all = true;
  size_t count = 0;
  std::span<report::Suppression> out;
  while (!files.empty()) {
    size_t colon = files.find(':');
    std::string_view file = base::slice(files, 0, colon);
    files.remove_prefix(colon == files.npos ? files.size() : colon + 1);
    if (file.empty()) continue;
    if (out.empty()) out = arena.take_array<report::Suppression>(report::kMaxSuppressions);
    base::FixedText<1024> path;
    path.add(file);
    auto* text = static_cast<char*>(base::map_memory(report::kMostSuppressionBytes));
    base::ReadResult read;
    if (!text || out.empty())
      read.problem = base::failed(-ENOMEM);
    else if (path.cut())
      read.problem = base::failed(-ENAMETOOLONG);
    else if (!file.starts_with('/'))
      read.problem = {report::kWithoutFolder};
    else
      read = base::read_regular_file(path.c_str(), {text, report::kMostSuppressionBytes});
    report::ParseError error;
    size_t line = 0;
    base::FixedText<1200> complaint;
    complaint.add("unfreed: suppression file ").add(path.text());
    if (read.problem) {
      complaint.add(" cannot be read: ");
      base::add_problem(complaint, read.problem);
      say(complaint.text(), line_kind());
      all = false;
    } else if (!report::parse_suppressions({text, read.bytes}, out, count, error, line)) {
      say(complaint.add(", line ").add_number(line).add(": ").add(error.message).text(), line_kind());
      all = false;
    }
  }
  read_ones = out.first(count);
  return all;
}

struct Working {
  report::SymbolTable symbols;
  OwnReportFile output;
  char json_buffer[report::kJsonBufferBytes];
};

/// A report that was made.
struct Made {
  base::Arena arena;
  report::Report report;
  bool can_check = true;      ///< rules and suppressions could be read
  base::FileProblem problem;  ///< why it is not written

  report::Answer answer() const {
    report::Verdict verdict = report::is_broken(report)                    ? report::Verdict::broken
                              : report::is_unchecked(report) || !can_check ? report::Verdict::unchecked
                                                                           : report::Verdict::passed;
    return {verdict, !problem};
  }
};

base::FileProblem write_file(const ledger::View& view, const Request& request, const report::Report& report,
                             Working& working) {
  report::ReportFile& file = working.output.file;
  if (base::FileProblem problem =
          open_report(view, request.path, request.number, request.limit, request.is_alone, working.output))
    return problem;
  report::Sink sink{&file, [](void* context, std::string_view piece) {
                      return !static_cast<report::ReportFile*>(context)->write(piece);
                    }};
  report::write_json(report, report::StackForm::file, working.json_buffer, sink);
  return file.keep();  // which says what went wrong before, too
}

/// Makes the report of this process (or of the process that this is a copy of) from its ledger.
void evaluate_inside(const ledger::View& view, const Request& request, Working& working, Made& made) {
  if (!request.has_timers) working.symbols.keep_linked_names();
  report::ReportInput input;
  made.can_check = read_suppressions(g_settings.suppressions, made.arena, input.suppressions);
  ledger::Writer& source = source_of(request);
  report::cover_inner_allocator(source, report::find_inner_allocator(source));
  input.view = &view;
  input.settings = &g_settings;
  input.trigger = request.trigger;
  input.most_sites = g_settings.top;
  input.threshold = request.threshold;
  input.resolver = working.symbols.resolver();
  input.now_monotonic_ns = base::monotonic_ns();
  report::evaluate(input, made.arena, made.report);
}

constexpr size_t kMostLineBytes = 2600;

/// Of a long path the end is shown, which matters most.
void add_path(base::TextBuilder& line, const Working& working) {
  constexpr size_t kMostShown = 700;
  std::string_view path = working.output.shown_path();
  if (path.size() > kMostShown) {
    path = base::slice(path, path.size() - kMostShown);
    line.add("…");
  }
  line.add(path);
}

/// "unfreed: service (pid 4032)"
void add_subject(base::TextBuilder& line) {
  line.add("unfreed: ").add(g_settings.program).add(" (pid ").add_signed(g_runtime.pid).add(')');
}

void say_unwritable(const Request& request, const Working& working, const base::FileProblem& problem) {
  base::FixedText<kMostLineBytes> line;
  line.add("unfreed: report ");
  add_path(line, working);
  base::add_problem(line.add(" cannot be written: "), problem);
  if (request.trigger == Trigger::exit && g_runtime.ledger_path[0])
    line.add("; the ledger is kept: ").add(g_runtime.ledger_path);
  say(line.text(), line_kind());
}

/// Are these reports of programs that are started one after another, so that their user wants all of them?
void say_replaced(const Working& working) {
  if (!working.output.file.has_replaced_recent() || g_settings.quiet) return;
  base::FixedText<kMostLineBytes> line;
  line.add("unfreed: report ");
  add_path(line, working);
  say(line.add(" replaced one that another process wrote seconds ago (put %p in UNFREED_OUTPUT to keep both)").text());
}

/// The rule that a line names: the first that is broken, or else could not be checked; `more`: others like it.
const report::RuleOutcome* find_rule(const report::Report& report, size_t& more) {
  const report::RuleOutcome* found = nullptr;
  for (const report::RuleOutcome& one : report.rules) {
    if (!one.broken && one.is_checked()) continue;
    if (!found || (one.broken && !found->broken)) {
      found = &one;
      more = 0;
    } else if (one.broken == found->broken) {
      ++more;
    }
  }
  return found;
}

void add_rule(base::TextBuilder& line, const report::RuleOutcome& outcome, size_t more) {
  report::add_verdict(line.add(": "), outcome);
  if (more) line.add(", and ").add_number(more).add(more > 1 ? " other rules" : " other rule");
}

void add_held(base::TextBuilder& line, const report::Report& report) {
  struct Unit {
    report::Subject subject;
    const char *one, *many;
  };
  static constexpr Unit kUnits[] = {
      {report::Subject::fd, " descriptor", " descriptors"},
      {report::Subject::heap, " heap block", " heap blocks"},
      {report::Subject::thread, " unjoined thread", " unjoined threads"},
      {report::Subject::child, " zombie child", " zombie children"},
  };
  const char* before = " holds ";
  for (const Unit& unit : kUnits) {
    const report::Totals* totals = report.totals_of(unit.subject);
    uint64_t live = totals ? totals->counted(report::Counter::live) : 0;
    if (!live) continue;
    line.add(before).add_number(live).add(live == 1 ? unit.one : unit.many);
    if (unit.subject == report::Subject::heap)
      line.add(" (").add_number(totals->counted(report::Counter::bytes)).add(" bytes)");
    if (uint64_t lost = totals->counted(report::Counter::lost)) line.add(", ").add_number(lost).add(" of them lost");
    before = ", ";
  }
  if (before[0] == ' ') line.add(" holds nothing");
  const report::Totals* misuse = report.totals_of(report::Subject::misuse);
  if (uint64_t count = misuse ? misuse->counted(report::Counter::live) : 0)
    line.add("; ").add_number(count).add(count == 1 ? " invalid close" : " invalid closes");
}

/// The one line about a report: at the end of the process what a rule says, else what is held; and where it is.
void say_made(const Request& request, const Working& working, const Made& made, const report::Answer& answer) {
  if (made.problem) say_unwritable(request, working, made.problem);
  size_t more = 0;
  bool has_rule = request.trigger == Trigger::exit && answer.verdict != report::Verdict::passed;
  const report::RuleOutcome* rule = has_rule ? find_rule(made.report, more) : nullptr;
  if (g_settings.quiet || (made.problem && !rule)) return;
  base::FixedText<kMostLineBytes> line;
  add_subject(line);
  if (const auto& limit = made.report.exhaustion)
    line.add(": a limit was reached: ").add(limit->function).add(" failed with ").add(limit->error).add("; it");
  else if (const auto& threshold = made.report.threshold)
    line.add(": reached ").add(threshold->rule).add(": ").add_number(threshold->value).add("; it");
  if (rule)
    add_rule(line, *rule, more);
  else
    add_held(line, made.report);
  if (!made.problem) add_path(line.add("; report: "), working);
  say(line.text(), rule ? Line::verdict : Line::news);
}

void take_facts(void* context) {
  const Request& request = *static_cast<Request*>(context);
  if (request.grading) request.grading->collect();
  if (request.trigger == Trigger::exit) return;  // finish() has taken them
  ledger::Writer& source = source_of(request);
  report::take_kernel_facts(source, 0);
}

/// Where lines are known, calls in one line of the source are one place. A rule about places that holds here may
/// then be broken.
bool may_lines_break(const report::RuleSet& rules, const report::Report& report) {
  for (const report::Rule& rule : rules.all()) {
    const report::Totals* totals = rule.per_site ? report.totals_of(rule.subject) : nullptr;
    if (totals && rule.broken_by(totals->counted(rule.counter))) return true;
  }
  return false;
}

/// Finding source lines takes tens of milliseconds, which is worth it where a user will look at the report. That is
/// where a rule is broken, and where the process that the user started, not one of its descendants, leaves something.
bool is_worth_lines(const report::Report& report) {
  const report::Totals* misuse = report.totals_of(report::Subject::misuse);
  bool has_misuse = misuse && misuse->counted(report::Counter::live) > 0;
  return !g_runtime.is_descendant && (has_misuse || report::holds_something(report));
}

/// What only a copy can do: it has descriptors to spare, and may start the command.
constexpr int kNotAlone = 2;
static_assert([] {
  report::Answer none;
  return !report::from_status(kNotAlone, none);
}());

/// Makes the report; its exit status (report/answer.h), or kNotAlone.
int make(void* context) {
  const Request& request = *static_cast<Request*>(context);
  if (request.grading && !request.grading->grade_copy(source_of(request))) return 0;
  uint32_t flags = source_of(request).header().flags.load(std::memory_order_relaxed);
  bool has_tasks =
      request.grading && flags & ledger::kHeaderFlagThreadsListed;  // there may have been no descriptor left
  if (request.trigger != Trigger::exit) {
    if (!has_tasks) report::take_kernel_tasks(source_of(request), g_runtime.pid);
    if (!request.frozen) track::take_unlisted_thread_stacks(g_runtime.pid);
  }
  base::PassingMemory memory(sizeof(Working));
  if (!memory.start()) return 1;
  auto* working = new (memory.start()) Working;
  Made made;
  // Before, there may have been no descriptor for what a report opens.
  if (request.trigger != Trigger::exit) track::take_missing_thread_stacks(g_runtime.pid);
  if (request.frozen) request.frozen->take_thread_stacks(g_tracker.writer);
  ledger::View view = request.frozen ? request.frozen->view() : own_view();
  evaluate_inside(view, request, *working, made);
  report::Answer answer = made.answer();
  bool may_break = answer.verdict == report::Verdict::broken ||
                   (!made.report.process.outside_rules && may_lines_break(g_settings.rules, made.report));
  bool wants_lines = request.trigger == Trigger::exit && (may_break || is_worth_lines(made.report));
  if (request.is_alone && (wants_lines || made.arena.short_of_memory())) return kNotAlone;
  made.problem = write_file(view, request, made.report, *working);
  if (request.is_alone && made.problem) return kNotAlone;
  say_replaced(*working);
  answer = made.answer();
  bool has_lines = wants_lines && answer.written && finish_with_command(request.number, may_break, answer);
  answer.written = made.answer().written;
  bool has_summary = has_lines && answer.verdict == report::Verdict::broken;
  if (!has_summary) say_made(request, *working, made, answer);
  working->~Working();
  return to_status(answer);
}

/// In a copy of this process, so that neither a full descriptor table nor an error of ours matters to it. Where no
/// process is available (limits), by this one.
int make_isolated(Request& request, int most_milliseconds) {
  long pid;
  bool again = false;
  do {
    if (again) wait_for_copy(most_milliseconds);
    track::own_child_begins();
    if (request.grading && request.trigger != Trigger::exit) {
      // Before threads are stopped: afterwards it takes a while until they wait again.
      base::SignalBlock block;
      report::take_kernel_tasks(source_of(request), 0);
    }
    if (request.grading) request.grading->begin();
    pid = start_copy(&request, output_descriptor(), take_facts, make);
    again = request.grading && request.grading->end(!is_error(pid), source_of(request));
  } while (again && !is_error(pid));
  if (!is_error(pid)) return wait_for_copy(most_milliseconds);
  if (!base::may_call_system()) return -1;
  request.has_timers = false;
  if (request.grading) request.grading->refuse(source_of(request));
  request.grading = nullptr;  // other threads run
  take_facts(&request);
  return run_on_own_stack(&request, make);
}

/// A copy takes half a millisecond, and more of a large process: small reports are made without one where nothing of
/// the program will run any more. Returns what make() does, or kNotAlone.
int make_alone(Request& request) {
  constexpr long kMostMicroseconds = 2'000'000;
  // Reading a user's files, and writing to a pipe, take as long as they take.
  bool is_quick = is_quickly_evaluated() && g_settings.suppressions.empty() && output_descriptor() < 0;
  if (!is_quick || request.grading || !base::may_call_system() || !track::is_only_thread()) return kNotAlone;
  base::SignalBlock block;
  base::AloneInProcess alone;
  base::BoundedCall call;
  if (!call.reserve(kEvaluationStackBytes)) return kNotAlone;
  call.stop_at_faults();
  request.is_alone = true;
  struct Work {
    Request& request;
    int status = kNotAlone;
  } work{request};
  bool has_returned = call.run(
      [](void* context) {
        auto& the = *static_cast<Work*>(context);
        the.status = make(&the.request);
      },
      &work, kMostMicroseconds);
  request.is_alone = false;
  return has_returned ? work.status : kNotAlone;
}

}  // namespace

namespace {
/// The kind of resource that has run out, if that is why a report is made.
bool has_run_out(Trigger trigger, ledger::Kind& kind) {
  uint32_t number = g_tracker.writer.header().exhausted_by.load(std::memory_order_acquire);
  if (trigger != Trigger::exhaustion || number == 0) return false;
  auto* failure = g_tracker.writer.known<ledger::Failure>(ledger::SectionId::failures, number - 1);
  if (failure) kind = static_cast<ledger::Kind>(failure->kind);
  return failure;
}
/// Is it about what is held, which may be given back as soon as the program goes on? (When memory has run out there is
/// none to copy the ledger to.)
bool is_to_be_frozen(Trigger trigger) {
  ledger::Kind kind;
  return trigger == Trigger::threshold || (has_run_out(trigger, kind) && kind != ledger::Kind::heap);
}
bool is_to_be_graded(Trigger trigger) {
  ledger::Kind kind;
  return g_settings.grade == report::GradeWhen::on && !(has_run_out(trigger, kind) && kind == ledger::Kind::heap);
}
}  // namespace

bool is_quickly_evaluated() {
  constexpr uint64_t kMostRecords = 1 << 13;
  using ledger::SectionId;
  uint64_t records = 0;
  for (SectionId id : {SectionId::sites, SectionId::fds, SectionId::threads, SectionId::children, SectionId::handles})
    records += g_tracker.writer.section(id).count.load(std::memory_order_acquire);
  return records <= kMostRecords;
}

ledger::View own_view() {
  ledger::View view;
  const ledger::Writer& writer = g_tracker.writer;
  ledger::View::open({static_cast<std::byte*>(writer.base()), writer.header().file_bytes}, view, writer.backed());
  return view;
}

bool describe_here(std::span<const report::HeldSite> held, base::TextBuilder& out) {
  base::PassingMemory memory(sizeof(Working));
  if (!memory.start()) return false;
  auto* working = new (memory.start()) Working;
  Made made;
  Request request{Trigger::api, nullptr, 0, 0, true, nullptr, {}, nullptr};
  ledger::View view = own_view();
  evaluate_inside(view, request, *working, made);
  report::describe_held_sites(made.report, held, out);
  working->~Working();
  return !made.arena.short_of_memory();
}

void describe_threads() { track::take_thread_stacks(unwind::caller_registers()); }

bool report_now(Trigger trigger, const char* path, int patience_ms, const report::Threshold& threshold) {
  // A vfork child runs on its parent's memory, and would report on the parent.
  if (track::in_vfork_child()) return false;
  base::count_sandboxes();
  if (!base::may_call_system()) return false;
  if (g_tracker.phase.load(std::memory_order_acquire) != track::Phase::tracking) return false;
  // One at a limit will not be asked for again; what a command has asked for will.
  ReportTurn turn(patience_ms, patience_ms ? LeftCopy::is_waited_for : LeftCopy::is_killed);
  if (!turn) {
    say("unfreed: a report was requested while another was being made; the request was dropped");
    return false;
  }
  base::SpareRoom room;
  track::adopt_fork_if_needed();
  if (g_tracker.phase.load(std::memory_order_acquire) != track::Phase::tracking) return false;
  bool is_limit = trigger == Trigger::exhaustion || trigger == Trigger::threshold;
  if (!is_limit) find_libc_caches();  // at a limit there is neither time nor room for it
  track::collect_from_rings();
  ledger::Frozen frozen;
  bool is_frozen = is_to_be_frozen(trigger) && frozen.take(g_tracker.writer);
  describe_threads();
  LiveGrading grading(0, LiveGrading::kPatienceMs);
  Request request{trigger,       path,
                  next_number(), is_limit ? ++g_runtime.limit_reports : 0,
                  true,          is_frozen ? &frozen : nullptr,
                  threshold,     is_to_be_graded(trigger) ? &grading : nullptr};
  report::Answer answer;
  bool is_made = report::from_status(make_isolated(request, kMostMilliseconds), answer);
  if (!is_made && is_limit)
    say("unfreed: the report that a limit or UNFREED_REPORT_AT calls for could not be made");
  else if (!is_made)
    say("unfreed: a requested report could not be made");
  return is_made && answer.written;
}

namespace {
bool grade(int patience_ms, uint32_t since_epoch, bool leaves, void (*read)(void*), void* context) {
  if (!base::may_call_system() || track::in_vfork_child()) return false;
  if (g_tracker.phase.load(std::memory_order_acquire) != track::Phase::tracking) return false;
  ReportTurn turn(patience_ms);
  if (!turn) return false;
  track::adopt_fork_if_needed();
  if (g_tracker.phase.load(std::memory_order_acquire) != track::Phase::tracking) return false;
  grade_live(since_epoch, leaves);
  if (read) read(context);
  return true;
}
}  // namespace

bool grade_now(int patience_ms, uint32_t since_epoch, void (*read)(void*), void* context) {
  return grade(patience_ms, since_epoch, false, read, context);
}

void grade_on_request() { grade(0, 0, true, nullptr, nullptr); }

void collect_on_request() {
  if (!base::may_call_system() || track::in_vfork_child()) return;
  ReportTurn turn(0);  // who gets it has collected what was left
}

int make_last_report(uintptr_t sp_to_grade_from) {
  LiveGrading grading(sp_to_grade_from, LiveGrading::kPatienceAtEndMs);
  Request request{Trigger::exit, nullptr, next_number(), 0, true, nullptr, {}, sp_to_grade_from ? &grading : nullptr};
  report::Answer answer;
  int status = make_alone(request);
  return report::from_status(status, answer) ? status : make_isolated(request, kMostMillisecondsAtEnd);
}

int wait_for_last_report() { return wait_for_copy(kMostMillisecondsAtEnd); }

}  // namespace unfreed::runtime
