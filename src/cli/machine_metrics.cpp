#include "cli/machine_metrics.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/tracked_processes.h"
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

std::string program_of(int pid) {
  std::error_code none;
  std::string name = std::filesystem::read_symlink(process_folder(pid) + "/exe", none).filename().string();
  constexpr std::string_view kDeleted = " (deleted)";
  if (name.ends_with(kDeleted)) name.resize(name.size() - kDeleted.size());
  return name;
}

}  // namespace

MachineMetrics::MachineMetrics(const report::Settings& settings, render::SourceRoot root)
    : settings_(settings), root_(std::move(root)) {}

std::string MachineMetrics::make(const std::atomic<bool>& is_ending) {
  render::MetricsPage page(root_);
  std::set<int> failed;
  for (int pid : list_processes()) {
    if (is_ending) break;
    FoundLedger found = find_ledger(pid);
    if (!found.open.file) continue;
    std::string error;
    RunningReport running;
    Look look = look_at(pid, found, settings_, symbolizer_for(pid), running, error);
    if (look == Look::made) page.add(running.owned.report);
    if (look != Look::failed) continue;
    page.add_unread(program_of(pid), pid);
    failed.insert(pid);
    if (!failed_.contains(pid)) complain(fmt::format("process {} is not on the page: {}", pid, error));
  }
  failed_ = std::move(failed);
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
