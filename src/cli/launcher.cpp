#include "cli/launcher.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "base/syscall.h"
#include "base/text.h"
#include "cli/child.h"
#include "cli/command_preload.h"
#include "cli/diagnosis.h"
#include "cli/find_ledger.h"
#include "cli/ledger_sweep.h"
#include "cli/process_watch.h"
#include "cli/session.h"
#include "cli/text_file.h"
#include "cli/tree_report.h"
#include "cli/untracked_programs.h"
#include "ledger/leftovers.h"
#include "ledger/library_part.h"
#include "render/paths.h"
#include "render/text.h"
#include "trace/tracer.h"

namespace unfreed::cli {

namespace {

/// A run longer than this has its ledgers read as they come; before, they can wait for the sweep at the end. Closing an
/// inotify instance takes the kernel 10 ms and more (it waits for every processor), which a short run must not pay.
constexpr int kUnwatchedMilliseconds = 250;

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> starts) {
  return std::any_of(starts.begin(), starts.end(), [&](std::string_view start) { return text.starts_with(start); });
}

/// Is a rule about what no system call shows?
bool asks_for_more_than_calls(const report::RuleSet& rules) {
  return std::any_of(rules.all().begin(), rules.all().end(), [](const report::Rule& rule) {
    switch (rule.kind()) {
      case ledger::Kind::fd:
      case ledger::Kind::thread:
      case ledger::Kind::child:
        return false;
      default:
        return true;
    }
  });
}

class Launcher;
Launcher* g_launcher;  ///< for a signal handler

class Launcher {
 public:
  Launcher(const LaunchPlan& plan, const SettingsInput& input, const SuppressionFiles& suppressions)
      : plan_(plan),
        settings_(input.settings()),
        suppressions_(suppressions),
        preload_(plan.runtime),
        preload_list_(preload_of_command(plan_.words[0], preload_list(preload_.text()), preload_.text(), verdict_)),
        traces_all_(is_from_outside() || is_better_traced()),
        environment_(make_environment(input, traces_all_)),
        untraced_environment_(make_environment(input, false)),
        reports_(settings_, output_template(input), suppressions, plan.all_reports,
                 render::wants_colour(STDERR_FILENO)) {}

  int run();

 private:
  std::vector<std::string> make_environment(const SettingsInput& input, bool is_traced) const;
  /// Whatever the program.
  bool is_from_outside() const {
    return settings_.backend == report::Backend::trace || settings_.backend == report::Backend::ebpf;
  }
  bool is_better_traced() const;
  /// Is what is traced to load the library as well?
  bool has_both() const { return !is_from_outside() && settings_.kinds & ~ledger::kKindsOfTracer; }
  bool wants_tracer() const;
  void make_tracer();
  bool is_traced(int pid) const;
  void collect_tracer();
  static std::string output_template(const SettingsInput& input) {
    std::string_view given = input.is_given("UNFREED_OUTPUT") ? input.settings().output : report::kDefaultOutput;
    return make_output_absolute(given);
  }
  void say_traced() const;
  void supervise();
  void take_finished(const std::vector<LedgerFile>& files);
  int look_if_due(uint64_t& next_look_ns);
  void look_at_processes();
  void sweep();
  bool is_commands(const LedgerFile& file) const;
  int finish();
  bool note_command();
  void note_running();
  bool check_tracking();
  void complain_of_untracked();
  int verdict(int command_status, bool is_checked) const;
  [[noreturn]] void end_early(int signal, int command_status);

  const LaunchPlan& plan_;
  const report::Settings& settings_;
  const SuppressionFiles& suppressions_;
  Session session_;
  UntrackedBoardFile board_{session_.untracked_board()};
  PreloadName preload_;
  elf::Verdict verdict_;  ///< of CMD
  trace::TraceSetup trace_setup_;
  std::unique_ptr<trace::Tracer> tracer_;  ///< none: nothing is traced
  bool is_tracer_behind_ = false;          ///< it does not answer
  std::string no_trace_;                   ///< a clause: why CMD is not, though it was to be
  std::set<int> running_untracked_;        ///< processes that carry the session and left no ledger
  std::string preload_list_;
  bool traces_all_;               ///< also what could load the library
  std::set<int> running_traced_;  ///< processes whose tracer makes no report any more
  std::vector<std::string> environment_;
  std::vector<std::string> untraced_environment_;  ///< where CMD cannot be traced
  SignalRelay signals_;
  TreeReport reports_;
  const uint64_t namespace_ = ledger::own_pid_namespace();
  pid_t pid_ = -1;
  std::atomic<int> final_status_{-1};                     ///< once all reports are written
  std::map<int, std::unique_ptr<ProcessWatch>> watches_;  ///< --every
  std::set<int> unwatched_;                               ///< whose series cannot be written
  bool was_short_ = false;                                ///< CMD had ended before a watch for ledgers was worth it
  int wait_status_ = 0;
  uint64_t started_ns_ = 0;                   ///< CLOCK_MONOTONIC
  std::optional<LedgerFile> command_ledger_;  ///< the newest seen of CMD
  bool command_is_gone_unseen_ = false;       ///< CMD's last image was not tracked, an earlier one was
};

/// `is_traced`: for a CMD of which all is traced.
std::vector<std::string> Launcher::make_environment(const SettingsInput& input, bool is_traced) const {
  std::vector<std::string> environment = input.environment();
  std::erase_if(environment, [](const std::string& entry) {
    return starts_with_any(entry, {"LD_PRELOAD=", "UNFREED_SESSION=", "UNFREED_LAUNCHER=", "UNFREED_LEDGER_DIR=",
                                   "UNFREED_ALL_REPORTS=", "UNFREED_TRACED="});
  });
  std::string preload = preload_list_;
  // Where only calls are to be seen, the library is not preloaded; other entries are the caller's.
  if (is_from_outside() || (is_traced && !has_both())) {
    const char* own = std::getenv("LD_PRELOAD");
    preload = own ? own : "";
  }
  if (!preload.empty()) environment.push_back("LD_PRELOAD=" + preload);
  // Both at once: system calls are the tracer's, and everything else the library's. Go starts programs past the hooks
  // that would keep the library out of those that it harms, so they get it only where a rule is about what it alone
  // sees.
  if (is_traced && has_both())
    environment.push_back(
        fmt::format("UNFREED_TRACED={}", asks_for_more_than_calls(settings_.rules) ? "all" : "alone"));
  environment.push_back("UNFREED_SESSION=" + session_.name());
  environment.push_back(fmt::format("UNFREED_LAUNCHER={}", getpid()));
  if (plan_.all_reports) environment.push_back("UNFREED_ALL_REPORTS=1");
  if (session_.directory() != kDefaultLedgerDirectory)
    environment.push_back("UNFREED_LEDGER_DIR=" + session_.directory());
  return environment;
}

/// The library alone would see only a part of Go's descriptors.
bool Launcher::is_better_traced() const {
  return settings_.backend == report::Backend::automatic && !settings_.disabled && !session_.folders().empty() &&
         settings_.kinds & ledger::kKindsOfTracer && cli::is_better_traced(plan_.words[0], verdict_);
}

/// A program that the library cannot be loaded into is traced, unless that would take its privileges away.
bool Launcher::wants_tracer() const {
  if (settings_.disabled || session_.folders().empty()) return false;
  if (settings_.backend == report::Backend::preload) return false;
  return traces_all_ || is_traced_by_default(verdict_.obstacle);
}

void Launcher::make_tracer() {
  trace_setup_.ledgers.folder = session_.folders()[0]->fd.get();
  trace_setup_.ledgers.pid_namespace = namespace_;
  trace_setup_.ledgers.run = session_.name().substr(0, session_.name().find('/'));
  trace_setup_.ledgers.launcher_pid = getpid();
  trace_setup_.ledgers.settings = &settings_;
  trace_setup_.traces_all = traces_all_;
  trace_setup_.ledgers.has_runtime = traces_all_ && has_both();
  trace_setup_.board = session_.untracked_board();
  trace_setup_.wants_all_reports = plan_.all_reports;
  bool is_observed = settings_.backend == report::Backend::ebpf;
  tracer_ = std::make_unique<trace::Tracer>(trace_setup_, is_observed ? trace::Method::observe : trace::Method::stop);
}

/// By the tracer of this run. What a process starts is observed, too.
bool Launcher::is_traced(int pid) const {
  if (tracer_ && tracer_->method() == trace::Method::observe) return true;
  std::string status, none;
  constexpr uint64_t kMostBytes = 64 * 1024;
  return tracer_ && read_regular_file(fmt::format("/proc/{}/status", pid), kMostBytes, status, none) &&
         status.find(fmt::format("\nTracerPid:\t{}\n", tracer_->pid())) != status.npos;
}

int Launcher::run() {
  started_ns_ = base::monotonic_ns();
  if (wants_tracer()) make_tracer();
  if (tracer_ && !tracer_->problem().empty()) {
    complain(tracer_->problem());
    return kFailure;
  }
  Started started = start(plan_.words, environment_, signals_, tracer_.get(), &untraced_environment_);
  if (started.trace_error)
    no_trace_ = fmt::format("; it cannot be traced either: {}", std::strerror(started.trace_error));
  if (started.pid < 0) {
    std::string line;
    if (started.error == EAGAIN || started.error == ENOMEM) {
      complain(fmt::format("{}: no process can be started: {}", plan_.words[0], std::strerror(started.error)));
      return kFailure;
    }
    int status = explain_start_failure(plan_.words[0], started.error, line);
    complain(line);
    return status;
  }
  pid_ = started.pid;
  g_launcher = this;
  if (tracer_ && !started.trace_error && !settings_.quiet) say_traced();
  signals_.set_early_end([](int signal, int status) { g_launcher->end_early(signal, status); });
  signals_.pass_on_to(pid_);
  // CMD runs from here on.
  supervise();
  sweep();
  return finish();
}

void Launcher::say_traced() const {
  bool is_stopped = tracer_->method() == trace::Method::stop;
  std::string thresholds = !settings_.report_at.count         ? ""
                           : trace_setup_.ledgers.has_runtime ? "--report-at makes reports about what the library "
                                                                "sees, and none about descriptors and children"
                                                              : "--report-at makes no report of traced programs";
  if (is_stopped)
    complain(
        fmt::format("{} is traced from outside (see TRACING in unfreed(1)); if its tracer, process {}, is killed, its "
                    "system calls fail{}{}",
                    plan_.words[0], tracer_->pid(), thresholds.empty() ? "" : "; ", thresholds));
  else if (!thresholds.empty())
    complain(thresholds);
}

void Launcher::supervise() {
  // CMD has its own limit already; the launcher needs a handful of descriptors, however low the limit is.
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 64 && limit.rlim_max > limit.rlim_cur) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 64);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  ledger::remove_leftover_folders(session_.directory().c_str(), geteuid());
  was_short_ = signals_.wait(-1, kUnwatchedMilliseconds) == SignalRelay::News::ended;
  if (was_short_) return;
  LedgerWatch watch(session_);
  take_finished(session_.finished_ledgers());
  uint64_t next_look = base::monotonic_ns();
  while (signals_.wait(watch.descriptor(), look_if_due(next_look)) != SignalRelay::News::ended)
    take_finished(watch.take_finished());
}

/// Returns how many milliseconds it is to the next look; -1: there will be none.
int Launcher::look_if_due(uint64_t& next_look_ns) {
  if (!settings_.every_ns) return -1;
  uint64_t now = base::monotonic_ns();
  if (now >= next_look_ns) {
    look_at_processes();
    now = base::monotonic_ns();
    next_look_ns = std::max(next_look_ns + settings_.every_ns, now);
  }
  constexpr uint64_t kMostMilliseconds = 3'600'000;
  return static_cast<int>(std::min((next_look_ns - now) / 1'000'000 + 1, kMostMilliseconds));
}

void Launcher::look_at_processes() {
  for (const LedgerFile& file : session_.ledgers()) {
    int pid = file.name.pid;
    if (file.name.done || file.name.pid_namespace != namespace_ || unwatched_.contains(pid)) continue;
    auto [watched, is_new] = watches_.try_emplace(pid, nullptr);
    if (is_new)
      watched->second = std::make_unique<ProcessWatch>(pid, settings_, &suppressions_, EarlierSeries::replaced);
    ProcessWatch& watch = *watched->second;
    std::string error;
    ProcessWatch::Outcome outcome = ProcessWatch::Outcome::failed;
    try {
      outcome = watch.look(reports_.series_template(pid, is_commands(file)), error);
    } catch (const std::bad_alloc&) {
      error = fmt::format("there is not enough memory to look at process {}", pid);
    }
    if (!watch.path().empty()) reports_.add_series(pid, watch.path());
    if (outcome != ProcessWatch::Outcome::failed) continue;
    complain(error);
    unwatched_.insert(pid);
    watches_.erase(pid);
  }
}

bool Launcher::is_commands(const LedgerFile& file) const { return is_of(file, pid_, namespace_); }

void Launcher::take_finished(const std::vector<LedgerFile>& files) {
  for (const LedgerFile& file : files) {
    watches_.erase(file.name.pid);
    if (!is_commands(file)) reports_.add_other(file, false);
  }
}

/// Until all have ended, or go on without the launcher.
void Launcher::sweep() {
  is_tracer_behind_ = tracer_ && !tracer_->catch_up();
  EndedCommand command{pid_, namespace_, was_short_, {}};
  if (session_.folders().size() > 1) command.users = users_of(pid_);
  wait_status_ = signals_.collect();
  LedgerSweep sweep(session_, reports_, command);
  sweep.run();
  for (int pid : sweep.running()) {
    bool traced = is_traced(pid);
    if (traced) running_traced_.insert(pid);
    reports_.add_running(pid, traced);
  }
  running_untracked_ = sweep.without_ledger();
  if (!sweep.running().empty()) preload_.keep();
  command_ledger_ = sweep.command_ledger();
  command_is_gone_unseen_ = sweep.command_is_gone_unseen();
}

/// True: CMD, or its last image, was not tracked, and the reason is known.
bool Launcher::note_command() {
  if (command_ledger_ || settings_.disabled || !report::is_wanted(settings_, plan_.words[0])) return false;
  if (command_is_gone_unseen_) return true;  // as that image noted itself
  // A program that can be tracked may have found no room for a ledger, and then reports by itself.
  if (verdict_.obstacle == elf::Obstacle::none) return false;
  std::string reason = std::string(elf::describe(verdict_.obstacle)) + no_trace_;
  reports_.untracked().add(program_path(plan_.words[0]), reason, 1);
  return true;
}

/// Processes that still run, and that no hooked function started (a static program did), or that were traced.
void Launcher::note_running() {
  std::error_code none;
  auto link_of = [](int pid) { return fmt::format("/proc/{}/exe", pid); };
  auto program_of = [&](int pid) { return std::filesystem::read_symlink(link_of(pid), none).string(); };
  for (int pid : running_traced_)
    if (std::string program = program_of(pid); !program.empty() && report::is_wanted(settings_, program))
      reports_.untracked().add(program, "it was still running when the run ended, and is traced no more", 1);
  for (int pid : running_untracked_) {
    if (running_traced_.contains(pid)) continue;
    std::string link = link_of(pid);
    std::string program = program_of(pid);
    bool is_there = false;
    elf::Verdict verdict = elf::judge(link.c_str(), AT_FDCWD, is_there);
    elf::accept_musl(preload_.text(), verdict);
    elf::Obstacle obstacle = verdict.obstacle;
    if (!program.empty() && obstacle != elf::Obstacle::none && report::is_wanted(settings_, program))
      reports_.untracked().add_if_missing(program, obstacle);
  }
}

/// False: the run was not what the user asked for, and a line has been printed.
bool Launcher::check_tracking() {
  if (reports_.has_command()) return true;
  bool only_others_wanted = !settings_.only.empty() && reports_.tracked() > 0;
  bool untracked_accepted = !reports_.untracked().any_missed() && !reports_.untracked().list().empty();
  std::string line;
  if (settings_.disabled) {
    line = "nothing was tracked: UNFREED_DISABLE is set";
  } else if (!settings_.only.empty() && reports_.tracked() == 0 && !report::is_wanted(settings_, plan_.words[0])) {
    line = fmt::format("nothing was tracked: no program's name matched '{}'", settings_.only);
  } else if (only_others_wanted || untracked_accepted) {
    return true;
  } else if (command_is_gone_unseen_) {
    line = fmt::format("{} executed another program, which could not be tracked", plan_.words[0]);
  } else {
    Diagnosis diagnosis = diagnose(plan_.words[0]);
    line = fmt::format("{} was not tracked: {}{}", plan_.words[0],
                       diagnosis.obstacles.empty()
                           ? fmt::format("the library left no ledger in {} (is it writable, and does the program keep "
                                         "LD_PRELOAD?)",
                                         session_.directory())
                           : fmt::format("{}", fmt::join(diagnosis.obstacles, "; ")),
                       no_trace_);
  }
  complain(line);
  return false;
}

/// One line for all programs that rules could not be checked for.
void Launcher::complain_of_untracked() {
  std::string names, patterns;
  for (const UntrackedProgram& one : reports_.untracked().list()) {
    if (one.allowed) continue;
    std::string name(render::base_name(one.program));
    if (names.find(name) == std::string::npos) patterns += (patterns.empty() ? "" : ",") + name;
    names += fmt::format("{}{} ({})", names.empty() ? "" : "; ", one.program, one.reason);
  }
  complain(
      fmt::format("rules could not be checked for untracked programs: {}; use --allow-untracked '{}' to accept that",
                  render::printable(names), render::printable(patterns)));
}

/// The exit status. `is_checked`: everything that the rules are about was seen.
int Launcher::verdict(int command_status, bool is_checked) const {
  if (command_status != 0) return command_status;
  if (reports_.failed() || (settings_.rules.count > 0 && !is_checked && !reports_.broken())) return kFailure;
  return reports_.broken() ? settings_.exit_code : kSuccess;
}

/// The tracer ends with the last process that it traces: mostly right now. If others still run, it stays. What ran
/// on without a tracer was not tracked, whatever the ledgers say.
void Launcher::collect_tracer() {
  constexpr int kPatienceMilliseconds = 1000;
  if (!tracer_ || tracer_->pid() <= 0) return;
  base::UniqueFd process(base::raw_syscall(SYS_pidfd_open, tracer_->pid(), 0));
  pollfd ended{process.get(), POLLIN, 0};
  if (process) poll(&ended, 1, reports_.running().empty() ? kPatienceMilliseconds : 0);
  int status = 0;
  bool has_ended = waitpid(tracer_->pid(), &status, WNOHANG) == tracer_->pid();
  if (is_tracer_behind_ || tracer_->has_given_up() || (has_ended && status != 0))
    reports_.untracked().add(program_path(plan_.words[0]), elf::Obstacle::no_tracer, 1);
}

int Launcher::finish() {
  collect_tracer();
  bool is_explained = note_command();
  reports_.untracked().read(board_);
  note_running();
  if (command_ledger_) {
    std::optional<LedgerFacts> facts = read_ledger_facts(*command_ledger_);
    bool saw_end = facts && facts->state == ledger::State::ended;
    reports_.add_command(*command_ledger_, !saw_end, wait_status_);
  } else if (is_explained) {
    reports_.add_command_without_ledger(plan_.words, pid_, started_ns_, wait_status_);
  }
  bool is_tracked = check_tracking();
  int command_status = WIFSIGNALED(wait_status_) ? 128 + WTERMSIG(wait_status_) : WEXITSTATUS(wait_status_);
  bool is_written = reports_.write_outputs(plan_.outputs);
  bool has_rules = settings_.rules.count > 0;
  bool misses_programs = reports_.untracked().any_missed();
  bool any_judged = settings_.rules_for.empty() || reports_.judged();
  int status = verdict(command_status,
                       is_tracked && !misses_programs && any_judged && !reports_.unchecked() && !reports_.unseen());
  if (!is_written && status == kSuccess) status = kFailure;
  final_status_.store(status);
  if (!settings_.quiet) write_message(reports_.summary());
  if (has_rules && misses_programs) complain_of_untracked();
  if (has_rules && is_tracked && !any_judged)
    complain(fmt::format("no rule was checked: --rules-for '{}' matches none of the programs that ran",
                         settings_.rules_for));
  if (reports_.unchecked()) complain("a rule could not be checked: see above and the report's notes");
  if (reports_.unseen())
    complain(
        fmt::format("{} forked processes found no room for their ledgers in {}: they report separately or not at all",
                    reports_.unseen(), session_.directory()));
  return status;
}

/// In a signal handler: system calls only. It has interrupted other code, which may have changed data halfway.
void Launcher::end_early(int signal, int command_status) {
  discard_unfinished_report();
  bool some_run = false;
  for (const auto& folder : session_.folders()) some_run |= ledger::abandon_run(folder->fd.get(), pid_);
  session_.remove_folders();
  if (!some_run) preload_.remove();
  int status = final_status_.load();
  if (status < 0) {
    // With a report missing, or rules not checked to the end, the run has not succeeded.
    status = command_status != 0 ? command_status : reports_.broken() ? settings_.exit_code : kFailure;
    base::FixedText<128> line;
    line.add("unfreed: ended by signal ").add_signed(signal).add(" before all reports were made\n");
    pollfd output{STDERR_FILENO, POLLOUT, 0};
    if (poll(&output, 1, 0) > 0) base::write_all(STDERR_FILENO, line.text());
  }
  _exit(status);
}

}  // namespace

int launch(const LaunchPlan& plan, const SettingsInput& input, const SuppressionFiles& suppressions) {
  Launcher launcher(plan, input, suppressions);
  return launcher.run();
}

}  // namespace unfreed::cli
