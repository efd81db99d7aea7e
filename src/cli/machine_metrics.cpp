#include "cli/machine_metrics.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/tracked_processes.h"
#include "kernel/program_facts.h"
#include "render/openmetrics.h"

namespace unfreed::cli {

namespace {

/// What it calls "/": a directory, of a mount namespace. "": that cannot be told.
std::string root_of(const std::string& process_folder) {
  struct stat root {};
  struct stat mounts {};
  if (stat((process_folder + "/root/").c_str(), &root) != 0) return "";
  if (stat((process_folder + "/ns/mnt").c_str(), &mounts) != 0) return "";
  return fmt::format("{}:{}:{}", root.st_dev, root.st_ino, mounts.st_ino);
}

}  // namespace

MachineMetrics::MachineMetrics(const report::Settings& settings, render::SourceRoot root)
    : settings_(settings), root_(std::move(root)) {}

std::string MachineMetrics::make(const std::atomic<bool>& is_ending) {
  render::MetricsPage page(root_);
  for (int pid : list_processes()) {
    if (is_ending) break;
    FoundLedger found = find_ledger(pid);
    std::string error;
    RunningReport running;
    if (!found.open.file ||
        !make_running_report(pid, found, settings_, Depth::ledger, symbolizer_for(pid), running, error))
      continue;
    uint32_t state = running.ledger.copy.view().header().state.load(std::memory_order_acquire);
    if (state != static_cast<uint32_t>(ledger::State::live)) continue;
    // Its number here: in its own namespace, one in each container has the number 1.
    running.owned.report.process.pid = pid;
    page.add(running.owned.report);
  }
  return page.text();
}

symbolize::Symbolizer& MachineMetrics::symbolizer_for(int pid) {
  std::string root = root_of(process_folder(pid));
  auto found = names_.find(root);
  // Its files were found through a process; what one that has ended leads to is gone.
  bool is_usable =
      found != names_.end() && (found->second.pid == pid || root_of(process_folder(found->second.pid)) == root);
  if (is_usable) return found->second.symbolizer;
  constexpr size_t kMost = 16;
  if (names_.size() >= kMost) names_.clear();
  names_.erase(root);
  bool is_ours = root == root_of("/proc/self");
  Names made{is_ours ? static_cast<int>(getpid()) : pid, is_ours ? symbolize::Symbolizer() : symbolizer_of(pid)};
  return names_.emplace(root, std::move(made)).first->second.symbolizer;
}

}  // namespace unfreed::cli
