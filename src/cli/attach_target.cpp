#include "cli/attach_target.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/live_thread.h"
#include "base/process_stat.h"
#include "base/syscall.h"
#include "base/text.h"
#include "cli/find_ledger.h"
#include "cli/ledger_files.h"
#include "cli/tracked_processes.h"
#include "elf/obstacle.h"
#include "elf/preload.h"
#include "render/quantities.h"
#include "render/text.h"
#include "settings/values.h"
#include "trace/process_files.h"

namespace unfreed::cli {

using trace::ProcessFiles;

std::string name_of(int pid) {
  std::string name = ProcessFiles(pid).read("comm");
  if (name.ends_with('\n')) name.pop_back();
  return render::printable(name);
}

namespace {

/// As pgrep -x has it, or by the name of the program's file, which may be longer.
bool is_named(int pid, const std::string& name) {
  std::string comm = ProcessFiles(pid).read("comm");
  return comm == name + "\n" || base::base_name(ProcessFiles(base::live_thread(pid)).link("exe")) == name;
}

}  // namespace

int find_process(const std::string& target, std::string& error) {
  uint64_t number = 0;
  if (target.empty()) {
    error = "'' is not the name of a program";  // threads of the kernel have none
    return 0;
  }
  if (base::parse_number(target, number)) {
    if (number > 0 && number <= INT32_MAX) return static_cast<int>(number);
    error = fmt::format("'{}' is not the number of a process", target);
    return 0;
  }
  constexpr size_t kMostShown = 10;
  std::vector<int> found;
  for (int pid : list_processes())
    if (pid != getpid() && is_named(pid, target)) found.push_back(pid);
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    error = fmt::format("no process is named '{}'", target);
    return 0;
  }
  bool is_cut = found.size() > kMostShown;
  if (is_cut) found.resize(kMostShown);
  error = fmt::format("several processes are named '{}'; give a pid: {}{}", target, fmt::join(found, ", "),
                      is_cut ? ", …" : "");
  return 0;
}

std::string find_obstacle(int pid, bool is_observed, bool is_attached) {
  ProcessFiles files(pid);
  base::ProcessStat stat = base::read_process_stat(fmt::format("/proc/{}/stat", pid).c_str());
  if (!stat.is_known || stat.state == 'X') return fmt::format("no process {} is running", pid);
  if (pid == getpid()) return fmt::format("process {} is this command itself", pid);
  int process = files.process();
  if (process && process != pid) return fmt::format("{} is a thread of process {}", pid, process);
  std::string who = fmt::format("process {} ({})", pid, name_of(pid));
  if (stat.state == 'Z' && stat.threads <= 1)
    return who + " has ended, and waits for its parent to collect it (zombie)";
  char target[1];
  bool has_program = readlink(fmt::format("/proc/{}/exe", pid).c_str(), target, sizeof target) >= 0 || errno != ENOENT;
  if (!has_program && stat.state != 'Z') return who + " is a thread of the kernel";
  if (!is_attached && find_ledger(pid).open.file)
    return fmt::format("{} is tracked already: 'unfreed snapshot {}' reports on it", who, pid);
  if (int tracer = is_observed ? 0 : files.tracer())
    return fmt::format("{} is traced already, by {} (pid {}): the kernel allows one tracer", who, name_of(tracer),
                       tracer);
  if (status_numbers(pid, "NSpid:").size() > 1)
    return who + " is in another pid namespace (a container): run unfreed in there, as with nsenter -p -m -t " +
           std::to_string(pid);
  bool is_there = false;
  if (elf::judge(fmt::format("/proc/{}/exe", pid).c_str(), AT_FDCWD, is_there).obstacle ==
      elf::Obstacle::other_processor)
    return fmt::format("{}: {}", who, elf::describe(elf::Obstacle::other_processor));
  return {};
}

std::string explain_refusal(int pid, int error) {
  std::string who = fmt::format("process {} ({})", pid, name_of(pid));
  if (error == ESRCH) return fmt::format("no process {} is running", pid);
  if (error == ENOSPC) return fmt::format("{}: there is no room for its ledger in {}", who, ledger_directory());
  if (error != EPERM) return fmt::format("{} cannot be traced here: {}", who, std::strerror(error));
  std::vector<unsigned> users = users_of(pid);
  bool is_others = !users.empty() && geteuid() != 0 && users[0] != geteuid();
  if (is_others) return fmt::format("{} may not be traced: it belongs to user {}", who, users[0]);
  std::string scope = "0";
  char text[8];
  long size = base::read_file("/proc/sys/kernel/yama/ptrace_scope", text, sizeof text);
  if (size > 0) scope = base::trimmed({text, static_cast<size_t>(size)});
  if (scope != "0" && (geteuid() != 0 || scope == "3"))
    return fmt::format("{} may not be traced: /proc/sys/kernel/yama/ptrace_scope is {}{}", who, scope,
                       scope == "3" ? "" : "; root may");
  return who +
         " may not be traced: it has privileges that this user lacks, or ptrace is forbidden here (a container "
         "needs CAP_SYS_PTRACE)";
}

}  // namespace unfreed::cli
