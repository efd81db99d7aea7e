// Making a report from inside: by the command where it is installed (source lines, summary), else by this library
// alone.
#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>

#include "base/regular_file.h"
#include "base/syscall.h"
#include "base/text.h"
#include "ledger/view.h"
#include "report/describe.h"
#include "report/evaluate.h"
#include "report/json_writer.h"
#include "report/kernel_facts.h"
#include "report/kernel_tasks.h"
#include "report/settings.h"
#include "report/suppressions.h"
#include "report/symbol_table.h"
#include "runtime/child_process.h"
#include "runtime/runtime.h"
#include "track/thread_stacks.h"
#include "track/threads.h"
#include "track/tracker.h"

namespace unfreed::runtime {

using base::is_error;
using base::raw_syscall;
using report::Trigger;
using track::g_tracker;

namespace {

// The answers of `unfreed finish`, which a copy of this process gives too.
enum Answer : int { kFine = 0, kRuleBroken = 3, kRuleUnchecked = 4, kNotWritten = 5, kForbidden = 6 };

struct Request {
  Trigger trigger;
  const char* path;  ///< nullptr: as UNFREED_OUTPUT says
  uint32_t number;   ///< of this report in the process
};

ledger::View own_view() {
  ledger::View view;
  const ledger::Writer& writer = g_tracker.writer;
  ledger::View::open({static_cast<std::byte*>(writer.base()), writer.header().file_bytes}, view, writer.backed());
  return view;
}

/// The report's file. Processes that share one fixed name are told apart by their pids.
size_t output_path(const ledger::View& view, const Request& request, std::span<char> out) {
  std::string_view pattern = request.path ? request.path : view.text(view.header().output);
  uint32_t flags = view.header().flags.load(std::memory_order_relaxed);
  bool is_named =
      flags & ledger::kHeaderFlagRoot || !(flags & (ledger::kHeaderFlagForked | ledger::kHeaderFlagManaged));
  bool insert_pid = !request.path && !is_named;
  return report::expand_output(pattern, g_runtime.working_directory, view.text(view.header().program), g_runtime.pid,
                               request.number, insert_pid, out);
}

// ---- by the command ----

bool is_stderr_unchanged() {
  struct stat now {};
  return raw_syscall(SYS_fstat, 2, reinterpret_cast<long>(&now)) == 0 && now.st_dev == g_runtime.stderr_device &&
         now.st_ino == g_runtime.stderr_inode;
}

/// The process's environment without what would make the helper track itself.
void helper_environment(const char** out, size_t capacity) {
  size_t count = 0;
  for (char** entry = environ; entry && *entry && count + 1 < capacity; ++entry) {
    std::string_view text(*entry);
    if (!text.starts_with("LD_") && !text.starts_with("UNFREED_")) out[count++] = *entry;
  }
  out[count] = nullptr;
}

/// Starts the command on this process's ledger: its pid, or −errno.
long start_helper(const Request& request) {
  // A process that has given up privileges may not be looked at from outside: it reports by itself.
  bool from_outside = request.trigger != Trigger::exit;
  if (!g_runtime.helper_path[0] || !g_runtime.ledger_path[0]) return -ENOENT;
  if (from_outside && raw_syscall(SYS_prctl, PR_GET_DUMPABLE) != 1) return -EPERM;
  constexpr size_t kMostEntries = 4096;
  static const char* environment[kMostEntries];  // one report at a time
  helper_environment(environment, kMostEntries);
  base::FixedText<16> number;
  number.add_number(request.number);
  const char* arguments[12] = {g_runtime.helper_path, "finish",
                               "--trigger",           report::word_of(request.trigger).data(),
                               "--report-number",     number.c_str()};
  size_t count = 6;
  if (request.path) {
    arguments[count++] = "--output";
    arguments[count++] = request.path;
  }
  arguments[count] = g_runtime.ledger_path;
  return start_program({g_runtime.helper_path, arguments, environment, is_stderr_unchanged()});
}

// ---- by this library ----

/// Collects text and writes it in large pieces.
struct FileSink {
  long fd;
  char* buffer;
  size_t used;
  bool failed;
};
constexpr size_t kSinkBytes = 64 * 1024;

bool flush(FileSink& sink) {
  sink.failed = sink.failed || !base::write_all(sink.fd, {sink.buffer, sink.used});
  sink.used = 0;
  return !sink.failed;
}

bool sink_write(void* context, std::string_view piece) {
  auto& sink = *static_cast<FileSink*>(context);
  while (!piece.empty()) {
    size_t room = kSinkBytes - sink.used;
    size_t taken = piece.size() < room ? piece.size() : room;
    std::memcpy(sink.buffer + sink.used, piece.data(), taken);
    sink.used += taken;
    piece.remove_prefix(taken);
    if (sink.used == kSinkBytes && !flush(sink)) return false;
  }
  return !sink.failed;
}

/// Reads the files of UNFREED_SUPPRESSIONS. False: one could not be read or understood (said on stderr).
bool read_suppressions(std::string_view files, std::span<report::Suppression> out, size_t& count) {
  bool all = true;
  while (!files.empty()) {
    size_t colon = files.find(':');
    std::string_view file = base::slice(files, 0, colon);
    files.remove_prefix(colon == files.npos ? files.size() : colon + 1);
    if (file.empty()) continue;
    base::FixedText<1024> path;
    path.add(file);
    auto* text = static_cast<char*>(base::map_memory(report::kMostSuppressionBytes));
    base::ReadResult read;
    if (!text)
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
      say(complaint.text());
      all = false;
    } else if (!report::parse_suppressions({text, read.bytes}, out, count, error, line)) {
      say(complaint.add(", line ").add_number(line).add(": ").add(error.message).text());
      all = false;
    }
  }
  return all;
}

bool rename_file(const char* from, const char* to) {
  return !is_error(
      raw_syscall(SYS_renameat, AT_FDCWD, reinterpret_cast<long>(from), AT_FDCWD, reinterpret_cast<long>(to)));
}

struct Working {
  report::SymbolTable symbols;
  report::RuleSet rules;
  report::Suppression suppressions[report::kMaxSuppressions];
  char path[1200];
  char temporary[1210];
  char sink_buffer[kSinkBytes];
  char json_buffer[report::kJsonBufferBytes];
};

void say_unwritable(const char* path, long error) {
  base::FixedText<1300> line;
  line.add("unfreed: cannot write ").add(path).add(" (errno ").add_signed(-error).add(")");
  say(line.text());
}

void say_written(const char* path, const report::Report& report) {
  base::FixedText<1300> line;
  line.add("unfreed: ").add(report::is_broken(report) ? "a rule is broken; " : "").add("report: ").add(path);
  say(line.text());
}

enum class Where { in_a_copy, in_the_process };

/// Writes the report of this process (or of the process that this is a copy of) from its ledger.
int write_inside(const Request& request, Where where) {
  ledger::View view = own_view();
  auto* memory = base::map_memory(sizeof(Working));
  if (!memory) return kNotWritten;
  auto* working = new (memory) Working;
  if (where == Where::in_the_process) working->symbols.keep_linked_names();
  report::ParseError error;
  bool checked = report::parse_rules(view.text(view.header().rules), working->rules, error);
  size_t suppression_count = 0;
  checked =
      read_suppressions(view.text(view.header().suppressions), working->suppressions, suppression_count) && checked;
  size_t length = output_path(view, request, working->path);
  if (!length) return kNotWritten;
  base::TextBuilder temporary(working->temporary);
  temporary.add(working->path).add(".tmp");
  FileSink sink{base::open_file(working->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644),
                working->sink_buffer, 0, false};
  if (sink.fd < 0) {
    say_unwritable(working->path, sink.fd);
    return sink.fd == -ENOSYS ? kForbidden : kNotWritten;
  }
  report::ReportInput input;
  input.view = &view;
  input.trigger = request.trigger;
  input.resolver = working->symbols.resolver();
  input.rules = working->rules.all();
  input.suppressions = std::span(working->suppressions).first(suppression_count);
  input.now_monotonic_ns = base::monotonic_ns();
  base::Arena arena;
  report::Report report;
  report::evaluate(input, arena, report);
  bool written =
      report::write_json(report, report::StackForm::file, working->json_buffer, {&sink, sink_write}) && flush(sink);
  base::close_file(sink.fd);
  if (written) written = rename_file(working->temporary, working->path);
  if (!written) {
    raw_syscall(SYS_unlinkat, AT_FDCWD, reinterpret_cast<long>(working->temporary), 0);
    return kNotWritten;
  }
  if (!view.header().quiet) say_written(working->path, report);
  if (report::is_broken(report)) return kRuleBroken;
  return report::is_unchecked(report) || (!checked && view.header().rules) ? kRuleUnchecked : kFine;
}

void take_facts(void* context) {
  if (static_cast<Request*>(context)->trigger == Trigger::exit) return;  // finish() has taken them
  report::take_kernel_facts(g_tracker.writer, 0);
  report::take_kernel_tasks(g_tracker.writer, g_runtime.pid);
}

/// What is easiest told by the process itself: where its threads stand.
void describe_threads() { track::take_thread_stacks(unwind::caller_registers()); }

/// In a copy of this process, so that neither a full descriptor table nor an error of ours matters to it.
long start_inside(Request& request) {
  return start_copy(&request, take_facts,
                    [](void* context) { return write_inside(*static_cast<Request*>(context), Where::in_a_copy); });
}

// ---- one at a time ----

std::atomic<uint32_t> g_reporting;
long g_background_pid;  ///< guarded by g_reporting

/// How long a signal handler waits for the report before, whose file may be there while its maker is still ending.
constexpr int kPatienceMs = 100;

void sleep_1ms() {
  timespec moment{0, 1'000'000};
  raw_syscall(SYS_nanosleep, reinterpret_cast<long>(&moment), 0);
}

bool begin_report(bool wait) {
  int patience = kPatienceMs;
  while (g_reporting.exchange(1, std::memory_order_acquire)) {
    if (!wait || !base::may_call_system()) return false;
    sleep_1ms();
  }
  if (!g_background_pid) return true;
  int status = wait_for(g_background_pid, wait);
  for (; status == -1 && patience > 0; --patience) {
    sleep_1ms();
    status = wait_for(g_background_pid, false);
  }
  if (status == -1) {
    g_reporting.store(0, std::memory_order_release);
    say("unfreed: a report was asked for while another was being made; it is left out");
    return false;
  }
  if (status != kFine && status != kRuleBroken && status != kRuleUnchecked)
    say("unfreed: a report that was asked for could not be made");
  g_background_pid = 0;
  return true;
}

void end_report() { g_reporting.store(0, std::memory_order_release); }

bool is_answer(int status) {
  return status == kFine || status == kRuleBroken || status == kRuleUnchecked || status == kNotWritten ||
         status == kForbidden;
}

/// While it lives, a process that has used up its descriptors has a few more, as far as its hard limit allows: for what
/// has to be asked of the kernel at the end, when nobody is left to be surprised.
class SpareDescriptors {
 public:
  SpareDescriptors() {
    constexpr rlim_t kSpare = 8;
    if (is_error(raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, reinterpret_cast<long>(&before_)))) return;
    rlimit more = before_;
    more.rlim_cur += std::min<rlim_t>(kSpare, before_.rlim_max - before_.rlim_cur);
    raised_ = !is_error(raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, reinterpret_cast<long>(&more), 0));
  }
  ~SpareDescriptors() {
    if (raised_) raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, reinterpret_cast<long>(&before_), 0);
  }
  SpareDescriptors(const SpareDescriptors&) = delete;
  SpareDescriptors& operator=(const SpareDescriptors&) = delete;

 private:
  rlimit before_{};
  bool raised_ = false;
};

/// Numbers reports from 1.
uint32_t next_number() { return g_tracker.writer.header().report_count.fetch_add(1, std::memory_order_relaxed) + 1; }

/// Marks the ledger as done, for the launcher. False when there is none that would take it.
bool leave_to_launcher() {
  if (!launcher_is_there()) return false;
  auto& handover = g_tracker.writer.header().handover;
  if (handover.fetch_or(ledger::kHandoverLeft, std::memory_order_acq_rel) & ledger::kHandoverLauncherGone) return false;
  base::FixedText<sizeof g_runtime.ledger_path + 8> done;
  done.add(g_runtime.ledger_path).add(".done");
  rename_file(g_runtime.ledger_path, done.c_str());  // out of its reach, it is found by the process's being gone
  return true;
}

}  // namespace

Outcome report_and_wait(Trigger trigger, const char* path) {
  begin_report(true);
  if (trigger != Trigger::exit) describe_threads();
  Request request{trigger, path, next_number()};
  long pid = start_helper(request);
  int answer = is_error(pid) ? -1 : wait_for(pid, true);
  if (!is_answer(answer)) {
    pid = start_inside(request);
    // No process to be had (limits): at exit there is nothing left to disturb.
    answer = is_error(pid) ? trigger == Trigger::exit ? write_inside(request, Where::in_the_process) : kNotWritten
                           : wait_for(pid, true);
  }
  end_report();
  bool is_written = is_answer(answer) && answer != kNotWritten && answer != kForbidden;
  return {is_written, answer == kRuleBroken, answer == kRuleUnchecked, answer == kForbidden};
}

bool report_in_background(Trigger trigger) {
  if (g_tracker.phase.load(std::memory_order_acquire) != track::Phase::tracking || !begin_report(false)) return false;
  track::adopt_fork_if_needed();
  describe_threads();
  Request request{trigger, nullptr, next_number()};
  long pid = start_helper(request);
  if (is_error(pid)) pid = start_inside(request);
  g_background_pid = is_error(pid) ? 0 : pid;
  end_report();
  return !is_error(pid);
}

void reset_reports_after_fork() {
  g_reporting.store(0, std::memory_order_relaxed);
  g_background_pid = 0;
}

int finish(int status, bool& replaced) {
  replaced = false;
  if (g_tracker.phase.load(std::memory_order_acquire) != track::Phase::tracking) return status;
  // A fork child in which nothing was ever tracked has nothing to say, and no ledger of its own to say it in.
  if (g_runtime.wants_all_reports) track::adopt_fork_if_needed();
  if (g_tracker.phase.load(std::memory_order_acquire) != track::Phase::tracking) return status;
  if (!track::g_fork_page.alive.load(std::memory_order_acquire) || g_runtime.ended.exchange(1)) return status;
  ledger::Header& header = g_tracker.writer.header();
  bool has_kernel = base::may_call_system();
  SpareDescriptors spare;
  begin_report(true);
  if (has_kernel) describe_threads();
  end_report();
  g_tracker.phase.store(track::Phase::finished, std::memory_order_release);
  header.ended_monotonic_ns = base::monotonic_ns();
  header.exit_status = status;
  if (has_kernel) {
    report::take_kernel_facts(g_tracker.writer, 0);
    report::take_kernel_tasks(g_tracker.writer, 0);
  }
  header.state.store(static_cast<uint32_t>(ledger::State::ended), std::memory_order_release);
  if (!has_kernel) {
    // The launcher finds the ledger by itself. Without one it stays where it is, and rules remain unchecked.
    replaced = !g_runtime.launcher_pid && status == 0 && header.rules != 0;
    return replaced ? report::kOwnFailureExitCode : status;
  }
  if (g_runtime.ledger_path[0] && leave_to_launcher()) return status;
  Outcome outcome = report_and_wait(Trigger::exit, nullptr);
  if (outcome.written && g_runtime.ledger_path[0])
    raw_syscall(SYS_unlinkat, AT_FDCWD, reinterpret_cast<long>(g_runtime.ledger_path), 0);
  if (!outcome.written) {
    base::FixedText<600> line;
    line.add("unfreed: the report could not be written");
    if (g_runtime.ledger_path[0]) line.add("; what it would say is kept in ").add(g_runtime.ledger_path);
    say(line.text());
  }
  // A program that was started in a sandbox (man's formatters) may not write a report, and is not to fail for that.
  if (status != 0 || (outcome.forbidden && header.rules == 0)) return status;
  int result = !outcome.written || outcome.unchecked ? report::kOwnFailureExitCode
               : outcome.broken                      ? static_cast<int>(header.exit_code)
                                                     : 0;
  replaced = result != 0;
  return result;
}

}  // namespace unfreed::runtime
