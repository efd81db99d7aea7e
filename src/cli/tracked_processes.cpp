#include "cli/tracked_processes.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/scan.h"
#include "base/syscall.h"
#include "cli/find_ledger.h"
#include "cli/ledger_report.h"
#include "cli/process_watch.h"
#include "cli/text_file.h"
#include "kernel/running_ledger.h"
#include "render/paths.h"

namespace unfreed::cli {

std::vector<int> list_processes() {
  std::vector<int> pids;
  std::unique_ptr<DIR, int (*)(DIR*)> open(opendir("/proc"), &closedir);
  while (dirent* entry = open ? readdir(open.get()) : nullptr)
    if (int pid = base::parse_id(entry->d_name); pid > 0) pids.push_back(pid);
  std::sort(pids.begin(), pids.end());
  return pids;
}

namespace {

int parent_of(int pid) {
  std::vector<unsigned> parent = status_numbers(pid, "PPid:");
  return parent.empty() ? 0 : static_cast<int>(parent[0]);
}

/// Is it an `unfreed run`?
bool is_launcher(int pid) {
  std::string name;
  std::string none;
  return read_regular_file(fmt::format("/proc/{}/comm", pid), 64, name, none) && name == "unfreed\n";
}

void describe(int pid, const ledger::View& view, TrackedProcess& out) {
  const ledger::Header& header = view.header();
  out.pid = pid;
  out.parent = parent_of(pid);
  out.name = program_name(view);
  view.each_text(header.argv, header.argv_count, [&](std::string_view argument) {
    out.arguments += (out.arguments.empty() ? "" : " ") + std::string(argument);
  });
  ReportRequest request;
  request.trigger = report::Trigger::snapshot;
  OwnedReport made = make_totals(view, request);
  auto number = [&](report::Subject subject, report::Counter counter) {
    const report::Totals* totals = made.report.totals_of(subject);
    return totals ? (*totals)[counter] : 0;
  };
  out.running_ns = made.report.process.duration_ns.value_or(0);
  out.descriptors =
      number(report::Subject::fd, report::Counter::live) + number(report::Subject::fd, report::Counter::unattributed);
  out.heap_bytes = number(report::Subject::heap, report::Counter::bytes);
  out.threads = number(report::Subject::thread, report::Counter::running);
  for (size_t at = 0; at < ledger::kKindCount; ++at)
    if (const auto& totals = made.report.totals[at])
      out.held[at] = render::watched_total(static_cast<ledger::Kind>(at), *totals);
  out.held[static_cast<size_t>(ledger::Kind::fd)] = out.descriptors;
  out.open = number(report::Subject::fd, report::Counter::open);
  out.limit = descriptor_limit(pid);
}

/// "4032 (server), 4040 (server)"
std::string list_numbers(const std::vector<TrackedProcess>& processes) {
  constexpr size_t kMost = 10;
  std::string text;
  for (size_t at = 0; at < std::min(processes.size(), kMost); ++at)
    text += fmt::format("{}{} ({})", at ? ", " : "", processes[at].pid, processes[at].name);
  return processes.size() > kMost ? text + ", …" : text;
}

}  // namespace

std::vector<TrackedProcess> list_tracked_processes() {
  std::vector<TrackedProcess> found;
  for (int pid : list_processes()) {
    FoundLedger ledger = find_ledger(pid);
    ledger::Copy copy;
    if (!ledger.open.file || report::load_running_ledger(ledger.open.file.get(), pid, copy)) continue;
    add_library_part(copy, ledger.path);
    if (copy.view().header().state.load() != static_cast<uint32_t>(ledger::State::live)) continue;
    struct stat status {};
    if (fstat(ledger.open.file.get(), &status) != 0) continue;
    TrackedProcess& one = found.emplace_back();
    one.key = series_key(copy.view(), status.st_ino);
    describe(pid, copy.view(), one);
  }
  return found;
}

int find_target(const std::string& target, std::string& error) {
  uint64_t number = 0;
  bool is_number = base::parse_number(target, number);
  if (target.empty()) {
    error = "'' is not the name of a program";
    return 0;
  }
  if (is_number && (number == 0 || number > INT32_MAX)) {
    error = fmt::format("'{}' is not the number of a process", target);
    return 0;
  }
  int pid = static_cast<int>(number);
  if (is_number && find_ledger(pid).open.file) return pid;
  std::vector<TrackedProcess> all = list_tracked_processes();
  std::vector<TrackedProcess> meant;
  std::copy_if(all.begin(), all.end(), std::back_inserter(meant),
               [&](const TrackedProcess& one) { return is_number ? one.parent == pid : one.name == target; });
  // `unfreed run` has one child, and is not tracked itself. The pid of any other parent does not name its child.
  bool is_found = meant.size() == 1 && (!is_number || is_launcher(pid));
  if (is_found) return meant[0].pid;
  if (is_number) return pid;  // which is not tracked: that is said in more words
  if (!meant.empty())
    error = fmt::format("several tracked processes are named '{}'; give a pid: {}", target, list_numbers(meant));
  else if (all.empty())
    error = fmt::format("no tracked process is named '{}': nothing is being tracked", target);
  else
    error = fmt::format("no tracked process is named '{}'; tracked processes: {}", target, list_numbers(all));
  return 0;
}

}  // namespace unfreed::cli
