// Numbers of every tracked process of this machine as one page of OpenMetrics. Their ledgers are read; nothing touches
// the processes.
#pragma once

#include <atomic>
#include <map>
#include <set>
#include <string>

#include "cli/running_report.h"
#include "render/source_root.h"
#include "settings/settings.h"
#include "symbolize/symbolizer.h"

namespace unfreed::cli {

/// Can make page after page: it knows names that are slow to find.
class MachineMetrics {
 public:
  /// `settings` must outlive it: what was given; else the processes' own apply.
  MachineMetrics(const report::Settings& settings, render::SourceRoot root);

  /// Returns early, with what it has, once `is_ending`.
  std::string make(const std::atomic<bool>& is_ending);

 private:
  /// For processes that see the same files.
  struct Names {
    int pid;  ///< of one of these processes
    symbolize::Symbolizer symbolizer;
  };
  symbolize::Symbolizer& symbolizer_for(int pid);

  const report::Settings& settings_;
  render::SourceRoot root_;
  std::map<std::string, Names> names_;  ///< by root directory
  std::set<int> failed_;                ///< on the last page, and complained about
};

}  // namespace unfreed::cli
