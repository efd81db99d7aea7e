// unfreed attach: what a process that runs already makes and ends from now on, by its system calls.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>

#include "base/process_stat.h"
#include "base/syscall.h"
#include "base/text.h"
#include "cli/attach_preload.h"
#include "cli/attach_target.h"
#include "cli/command.h"
#include "cli/ending_signals.h"
#include "cli/find_ledger.h"
#include "cli/session.h"
#include "cli/settings_input.h"
#include "cli/suppression_files.h"
#include "cli/tracked_processes.h"
#include "cli/tree_report.h"
#include "elf/obstacle.h"
#include "elf/preload.h"
#include "render/quantities.h"
#include "render/text.h"
#include "settings/output_name.h"
#include "settings/values.h"
#include "trace/attachment.h"
#include "trace/observe_loop.h"
#include "trace/process_files.h"
#include "trace/trace_loop.h"

namespace unfreed::cli {

namespace {

using trace::ProcessFiles;

/// Of a control group and those in it: its folder, or its name below the place where control groups are mounted.
std::vector<int> processes_in(const std::string& cgroup, std::string& error) {
  namespace fs = std::filesystem;
  std::vector<int> found;
  std::error_code problem;
  for (const char* root : {"", "/sys/fs/cgroup/", "/sys/fs/cgroup/unified/"}) {
    fs::path folder = root + cgroup;
    if (!fs::exists(folder / "cgroup.procs", problem)) continue;
    std::vector<fs::path> folders{folder};
    // Groups come and go meanwhile.
    for (fs::recursive_directory_iterator at(folder, problem), end; at != end; at.increment(problem)) {
      std::error_code gone;
      if (at->is_directory(gone)) folders.push_back(at->path());
    }
    for (const fs::path& one : folders) {
      std::ifstream list(one / "cgroup.procs");
      for (int pid; list >> pid;) found.push_back(pid);
    }
    return found;
  }
  error = fmt::format("--cgroup '{}': there is no such control group", render::printable(cgroup));
  return found;
}

/// What is attached to.
struct AttachTarget {
  int pid = 0;                                    ///< 0: the others alone
  std::function<std::vector<int>()> list_others;  ///< observed, and what they start; empty: none
  bool follows = false;                           ///< what the process starts
};

class Attacher {
 public:
  Attacher(AttachTarget target, const report::Settings& settings, const SuppressionFiles& suppressions)
      : pid_(target.pid),
        target_(std::move(target)),
        settings_(settings),
        reports_(settings, make_output_absolute(settings.output), suppressions, false,
                 render::wants_colour(STDERR_FILENO)) {}

  int run(uint64_t most_ns);

 private:
  bool is_observed() const { return settings_.backend == report::Backend::ebpf; }
  trace::TraceSetup make_setup() const;
  std::unique_ptr<trace::AttachedLoop> make_loop() const;
  void say_attached(const trace::Attachment& attachment, uint64_t most_ns) const;
  void wait(const trace::Attachment& attachment, uint64_t most_ns) const;
  bool report_on_target();
  int finish();

  int pid_;
  AttachTarget target_;
  const report::Settings& settings_;
  Session session_;
  TreeReport reports_;
  EndingSignals signals_{JobControl::ends};
};

trace::TraceSetup Attacher::make_setup() const {
  trace::TraceSetup setup;
  setup.ledgers.folder = session_.folders()[0]->fd.get();
  setup.ledgers.pid_namespace = ledger::own_pid_namespace();
  setup.ledgers.run = session_.name().substr(0, session_.name().find('/'));
  setup.ledgers.launcher_pid = getpid();
  setup.ledgers.settings = &settings_;
  setup.traces_all = true;
  setup.follows_children = target_.follows || !pid_;
  setup.list_others = target_.list_others;
  return setup;
}

std::unique_ptr<trace::AttachedLoop> Attacher::make_loop() const {
  if (is_observed()) return std::make_unique<trace::ObserveLoop>(make_setup());
  return std::make_unique<trace::TraceLoop>(make_setup());
}

int Attacher::run(uint64_t most_ns) {
  if (session_.folders().empty()) {
    complain(fmt::format("no ledger can be made in {}", session_.directory()));
    return kFailure;
  }
  trace::Attachment attachment(make_loop(), pid_);
  if (attachment.attached().error) {
    const std::string& problem = attachment.attached().problem;
    std::string refusal =
        pid_ ? explain_refusal(pid_, attachment.attached().error) : "there is no process to attach to";
    complain(problem.empty() ? refusal : problem);
    return kFailure;
  }
  if (!settings_.quiet) say_attached(attachment, most_ns);
  wait(attachment, most_ns);
  attachment.end();
  return finish();
}

void Attacher::say_attached(const trace::Attachment& attachment, uint64_t most_ns) const {
  const trace::Attached& attached = attachment.attached();
  std::string who = pid_ ? fmt::format("{} (pid {})", name_of(pid_), pid_)
                         : fmt::format("{} process{}", attached.processes, attached.processes == 1 ? "" : "es");
  complain(fmt::format("attached to {}: {} thread{}, {} descriptor{} open already; {} {}", who, attached.threads,
                       attached.threads == 1 ? "" : "s", attached.descriptors, attached.descriptors == 1 ? "" : "s",
                       most_ns ? "for " + render::write_duration(most_ns) : "until ^C",
                       is_observed() ? "the kernel tells what is opened and closed; nothing is stopped"
                                     : "each of its system calls takes 10 to 40 µs longer"));
}

/// For a signal, the time, or the end of all that is traced.
void Attacher::wait(const trace::Attachment& attachment, uint64_t most_ns) const {
  uint64_t end = most_ns ? base::monotonic_ns() + most_ns : UINT64_MAX;
  signals_.wait_until(end, attachment.descriptor());
}

/// False: the target has left no ledger.
bool Attacher::report_on_target() {
  std::optional<LedgerFile> newest;
  for (const LedgerFile& file : session_.ledgers()) {
    bool is_target = is_of(file, pid_, ledger::own_pid_namespace());
    if (!is_target)
      reports_.add_attached(file, false);
    else
      newest = file;  // the images of a process come in their order
  }
  if (newest) reports_.add_attached(*newest, true);
  return newest.has_value() || !pid_;
}

int Attacher::finish() {
  bool is_seen = report_on_target();
  if (!settings_.quiet) write_message(reports_.summary());
  if (!is_seen) complain(fmt::format("process {} has gone over to a program that cannot be tracked", pid_));
  if (!is_seen || reports_.failed()) return kFailure;
  if (reports_.broken()) return settings_.exit_code;
  bool is_unchecked = reports_.unchecked() || (settings_.rules.count > 0 && !reports_.judged() && pid_);
  if (is_unchecked) complain("a rule could not be checked: see above and the report's notes");
  return is_unchecked ? kFailure : kSuccess;
}

/// Of --preload with other options and variables; "" for none.
std::string find_conflict_with_preload(const SettingsInput& input, bool is_for_tracer) {
  constexpr std::string_view kVariables[] = {"UNFREED_BACKEND", "UNFREED_FAIL_ON", "UNFREED_RULES_FOR",
                                             "UNFREED_EXITCODE"};
  bool any = std::any_of(std::begin(kVariables), std::end(kVariables),
                         [&](std::string_view variable) { return input.is_option(variable); });
  constexpr std::string_view kInstead = "(give rules to 'unfreed detach' or 'unfreed snapshot')";
  if (is_for_tracer || any)
    return fmt::format(
        "--preload excludes --for, --follow-children, --backend, --all, --cgroup, --fail-on, --rules-for and "
        "--exit-code {}",
        kInstead);
  for (std::string_view variable : {"UNFREED_BACKEND", "UNFREED_FAIL_ON"})
    if (input.is_given(variable))
      return fmt::format("--preload excludes {}, which is set in the environment {}", variable, kInstead);
  return {};
}

}  // namespace

int attach_command(const Arguments& arguments) {
  Parser parser(
      "attach", "[OPTIONS] [PID|NAME]",
      "Traces a process that runs already, and was not started under unfreed, until ^C or for a time (--for): "
      "descriptors, threads and children that it makes from now on, with stacks. Then it goes on untraced, and a "
      "report is made. Without --preload, nothing is "
      "loaded into it, and nothing stays in it. While it is traced, each of its system calls takes 10 to 40 "
      "microseconds longer (see PROCESSES THAT RUN ALREADY in unfreed(1)).");
  std::string target, time, cgroup;
  bool follows = false, all = false, preload = false;
  SettingsInput input;
  parser.optional_operand("PID|NAME", target,
                          "pid of the process, or the name of its program, if only one process has it");
  parser.value("--for", "TIME", time, "end after TIME (30s, 5m) instead of at ^C");
  parser.flag("--preload", preload,
              "load libunfreed.so into it instead: heap blocks and all other kinds are tracked, too, at the cost of "
              "`unfreed run`, until the process ends or `unfreed detach`. The command ends at once");
  parser.flag("--follow-children", follows, "also trace the processes that it starts from now on");
  parser.value("--cgroup", "PATH", cgroup,
               "with --backend=ebpf, instead of PID: all processes of a control group, and what they start");
  parser.flag("--all", all, "with --backend=ebpf, instead of PID: all processes of this machine, and what they start");
  input.add_options(parser, {"output", "fail-on", "exit-code", "rules-for", "suppressions", "track", "depth",
                             "inheritable", "backend", "quiet", "force"});
  parser.footer(
      "Exit status: 0, however the process ends; 23 (--exit-code) if a rule of --fail-on is broken; 125 if there is no "
      "such process, it may not be traced or is tracked already, a rule cannot be checked or the report cannot be "
      "written.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (!input.read()) return kFailure;
  std::string error;
  uint64_t most_ns = 0;
  if (!time.empty() && !report::parse_duration(time, most_ns)) {
    complain(fmt::format("--for '{}': a number with ms, s, m, h or d is needed", render::printable(time)));
    return kFailure;
  }
  SuppressionFiles suppressions;
  if (!suppressions.read(input.settings().suppressions, NamedBy::user, error)) {
    complain(error);
    return kFailure;
  }
  report::Settings settings = input.settings();
  // The others cannot be tracked; reports need not say so unless they were asked for.
  if (!input.is_given("UNFREED_TRACK")) {
    auto bit_of = [](ledger::Kind kind) { return 1u << static_cast<unsigned>(kind); };
    settings.kinds &= bit_of(ledger::Kind::fd) | bit_of(ledger::Kind::thread) | bit_of(ledger::Kind::child);
  }
  bool is_group = all || !cgroup.empty();
  std::function<std::vector<int>()> list_others;
  int pid = 0;
  if (is_group && settings.backend != report::Backend::ebpf)
    error = "many processes are attached to by --backend=ebpf alone";
  else if (is_group && (!target.empty() || (all && !cgroup.empty())))
    error = "--all, --cgroup and PID|NAME exclude one another";
  else if (is_group)
    list_others = [&] {
      std::vector<int> others = all ? list_processes() : processes_in(cgroup, error);
      // Others that are tracked already have their reports.
      std::erase_if(others, [](int other) { return other == getpid() || find_ledger(other).open.file; });
      return others;
    };
  else
    pid = find_process(target, error);
  if (pid) error = find_obstacle(pid, settings.backend == report::Backend::ebpf);
  if (is_group && error.empty() && list_others().empty() && error.empty()) error = "there is no process to attach to";
  if (error.empty() && preload) error = find_conflict_with_preload(input, follows || is_group || most_ns);
  if (!error.empty()) {
    complain(error);
    return kFailure;
  }
  if (preload) return attach_by_preload(pid, input);
  return Attacher(AttachTarget{pid, list_others, follows}, settings, suppressions).run(most_ns);
}

}  // namespace unfreed::cli
