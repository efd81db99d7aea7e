// Looks at a running process, and adds them to its series (render/series.h).
#pragma once

#include <cstdint>
#include <string>

#include "base/unique_fd.h"
#include "cli/suppression_files.h"
#include "ledger/view.h"
#include "render/series.h"
#include "settings/settings.h"
#include "symbolize/symbolizer.h"

namespace unfreed::cli {

inline constexpr uint64_t kDefaultEveryNs = 30'000'000'000;

/// Identifies the image of a process that a ledger, whose file is `inode`, is of.
std::string series_key(const ledger::View& view, uint64_t inode);

/// On descriptors of a process; 0: none, or not known.
uint64_t descriptor_limit(int pid);

/// What is done with a series that is there.
enum class EarlierSeries : uint8_t { continued, replaced };

class ProcessWatch {
 public:
  /// `settings` must outlive it, and so must `suppressions`: nullptr: the process's own are read.
  ProcessWatch(int pid, const report::Settings& settings, const SuppressionFiles* suppressions, EarlierSeries earlier);

  enum class Outcome {
    done,
    skipped,  ///< the process is just starting, ending or executing another program
    gone,
    failed,
  };
  /// One look. `output`: where the series is, as a template (ledger_report.h), when it is first needed. `error`, unless
  /// done: one line for the user.
  Outcome look(const std::string& output, std::string& error);

  const std::string& path() const { return path_; }
  /// Why the process's own suppressions were not applied; "": they were, or others are given.
  const std::string& without_own() const { return without_own_; }

 private:
  bool open_series(std::string& error);
  bool append(std::string_view text, std::string& error);

  int pid_;
  const report::Settings& settings_;
  const SuppressionFiles* suppressions_;
  EarlierSeries earlier_;
  symbolize::Symbolizer symbolizer_;
  render::SeriesWriter writer_;
  std::string key_;
  std::string path_;
  std::string without_own_;
  base::UniqueFd file_;
};

}  // namespace unfreed::cli
