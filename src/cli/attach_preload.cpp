#include "cli/attach_preload.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "base/process_stat.h"
#include "cli/attach_target.h"
#include "cli/command.h"
#include "cli/find_ledger.h"
#include "cli/locate.h"
#include "cli/running_report.h"
#include "cli/show_report.h"
#include "elf/preload.h"
#include "ledger/layout.h"
#include "render/quantities.h"
#include "render/text.h"
#include "trace/injection.h"
#include "trace/process_files.h"

namespace unfreed::cli {

namespace {

constexpr uint64_t kPatienceNs = 10'000'000'000;

std::string who_is(int pid) { return fmt::format("process {} ({})", pid, name_of(pid)); }

/// Of another process; "" if it has no such limit.
std::string address_space_limit(int pid) {
  for (auto [resource, name] :
       {std::pair(RLIMIT_AS, "address space (ulimit -v)"), std::pair(RLIMIT_DATA, "data (ulimit -d)")}) {
    rlimit limit{};
    if (prlimit(pid, resource, nullptr, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) return name;
  }
  return {};
}

/// Why the library is not loaded into it, although it could be traced; "" for nothing.
std::string find_preload_obstacle(int pid) {
  std::string path = fmt::format("/proc/{}/exe", pid);
  bool is_there = false;
  elf::Verdict verdict = elf::judge(path.c_str(), AT_FDCWD, is_there);
  if (verdict.obstacle == elf::Obstacle::musl)
    return "its libc is musl, and the library for musl cannot be loaded into a running process";
  if (verdict.obstacle != elf::Obstacle::none && verdict.obstacle != elf::Obstacle::no_preload)
    return std::string(elf::describe(verdict.obstacle));
  std::vector<unsigned> users = users_of(pid), filters = status_numbers(pid, "Seccomp:");
  if (users.size() > 1 && users[0] != users[1]) return "it runs with another user's privileges (set-uid)";
  if (!filters.empty() && filters[0] != 0)
    return "it restricts its system calls (seccomp), and may be killed for the library's";
  if (base::read_process_stat(fmt::format("/proc/{}/stat", pid).c_str()).state == 'T')
    return "it is stopped (SIGCONT lets it go on)";
  if (trace::ProcessFiles(pid).read("status").find("\nx86_Thread_features:\tshstk") != std::string::npos)
    return "it has a shadow stack, which forbids such calls";
  if (std::string limit = address_space_limit(pid); !limit.empty())
    return "its limit on " + limit + " leaves too little room to start in";
  return {};
}

/// What the library reads instead of the process's environment. The process goes on as if it were not there: it prints
/// nothing, and its exit status is its own.
std::vector<std::string> settings_for(const SettingsInput& input) {
  std::vector<std::string> list{"UNFREED_QUIET=1"};
  auto add = [&](std::string_view variable, std::string_view value) {
    list.push_back(fmt::format("{}={}", variable, value));
  };
  add("UNFREED_OUTPUT", make_output_absolute(input.settings().output));
  if (!input.settings().suppressions.empty())
    add("UNFREED_SUPPRESSIONS", make_files_absolute(input.settings().suppressions));
  for (size_t row = 0; row < report::kSettingCount; ++row) {
    std::string_view variable = report::setting_rows()[row].variable;
    bool is_passed = variable == "UNFREED_TRACK" || variable == "UNFREED_DEPTH" || variable == "UNFREED_SIGNAL" ||
                     variable == "UNFREED_GRADE" || variable == "UNFREED_FORCE" || variable == "UNFREED_INHERITABLE";
    if (is_passed && input.is_given(variable)) add(variable, input.settings().given[row]);
  }
  std::error_code none;
  std::filesystem::path own = std::filesystem::read_symlink("/proc/self/exe", none);
  if (!own.empty()) add("UNFREED_HELPER", own.string());
  if (const char* folder = getenv("UNFREED_LEDGER_DIR")) add("UNFREED_LEDGER_DIR", folder);
  return list;
}

/// What would end the command waits: the process must not be left in the middle of it.
class SignalsWait {
 public:
  SignalsWait() {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsWait() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  SignalsWait(const SignalsWait&) = delete;
  SignalsWait& operator=(const SignalsWait&) = delete;

 private:
  sigset_t before_;
};

bool is_done(int pid, const trace::Injected& injected) {
  if (injected.error)
    complain(explain_refusal(pid, injected.error));
  else if (!injected.problem.empty())
    complain(fmt::format("{}: {}", who_is(pid), render::printable(injected.problem)));
  return !injected.error && injected.problem.empty();
}

std::string plural(int count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

bool is_attached_by_preload(const FoundLedger& found) {
  uint32_t flags = 0;
  return found.open.file &&
         pread(found.open.file.get(), &flags, sizeof flags, offsetof(ledger::Header, flags)) == sizeof flags &&
         flags & ledger::kHeaderFlagAttached && !(flags & ledger::kHeaderFlagTraced);
}

}  // namespace

int attach_by_preload(int pid, const SettingsInput& input) {
  std::string tried, obstacle = find_preload_obstacle(pid), library = find_runtime(tried);
  if (library.empty()) {
    complain("libunfreed.so was not found: tried " + tried);
    return kFailure;
  }
  if (!obstacle.empty()) {
    complain(fmt::format("nothing can be loaded into {}: {}", who_is(pid), obstacle));
    return kFailure;
  }
  trace::Injected injected;
  {
    SignalsWait wait;
    injected = trace::inject(pid, library, settings_for(input), kPatienceNs);
  }
  if (!is_done(pid, injected)) return kFailure;
  if (!find_ledger(pid).open.file)
    complain(fmt::format("{} could make no ledger that others can read: it reports at its end alone", who_is(pid)));
  if (!input.settings().quiet)
    complain(fmt::format(
        "attached to {} (pid {}): {} stopped for {}; 'unfreed snapshot {}' reports on it, 'unfreed "
        "detach {}' ends it",
        name_of(pid), pid, plural(injected.threads, "thread"), render::write_duration(injected.stopped_ns), pid, pid));
  return kSuccess;
}

int detach_command(const Arguments& arguments) {
  Parser parser(
      "detach", "[OPTIONS] PID|NAME",
      "Ends what `unfreed attach --preload` has begun, and makes a report on what the process has acquired "
      "since and holds. The library stays loaded, and out of the way: the process's calls are its own again.");
  std::string target;
  SettingsInput input;
  parser.operand("PID|NAME", target, "pid of the process, or the name of its program, if only one process has it");
  input.add_options(parser, {"output", "fail-on", "exit-code", "rules-for", "suppressions", "quiet", "force"});
  parser.footer(
      "Exit status: 0; 23 (--exit-code) if a rule of --fail-on is broken; 125 if there is no such process, it was not "
      "attached to by --preload, a rule cannot be checked or the report cannot be written.");
  if (std::optional<int> status = parser.parse(arguments)) return *status;
  if (!input.read()) return kFailure;
  std::string error;
  int pid = find_process(target, error);
  if (pid) error = find_obstacle(pid, false, true);
  if (!error.empty()) {
    complain(error);
    return kFailure;
  }
  FoundLedger found = find_ledger(pid);
  const std::string was_not_attached = who_is(pid) + " was not attached to by 'unfreed attach --preload'";
  if (found.open.file && !is_attached_by_preload(found)) {
    complain(was_not_attached);
    return kFailure;
  }
  trace::Injected injected;
  {
    SignalsWait wait;
    injected = trace::take_out(pid, kPatienceNs);
  }
  // Nothing is known of a process without a ledger before it is asked.
  if (!found.open.file && !injected.problem.empty()) {
    complain(was_not_attached);
    return kFailure;
  }
  if (!is_done(pid, injected)) return kFailure;
  if (!found.open.file) {
    complain(fmt::format("detached from {}; there is no report, as its ledger was no file", who_is(pid)));
    return kFailure;
  }
  const report::Settings& settings = input.settings();
  symbolize::Symbolizer symbolizer = symbolizer_of(pid);
  RunningReport running;
  if (!make_running_report(pid, found, settings, Depth::as_left, symbolizer, running, error)) {
    complain(error);
    return kFailure;
  }
  const ledger::View& view = running.ledger.copy.view();
  uint32_t number = view.header().report_count.load(std::memory_order_relaxed) + 1;
  std::string path = output_path(view, settings.output, number, error);
  return show_report(running.owned, path, settings, error) ? status_after(running.owned.report, settings) : kFailure;
}

}  // namespace unfreed::cli
