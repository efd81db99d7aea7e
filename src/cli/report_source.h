// Sources of reports, for the commands that read them: report JSON, or a ledger that a process left behind.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/ledger_report.h"
#include "ledger/copy.h"
#include "render/series.h"
#include "symbolize/symbolizer.h"

namespace unfreed::cli {

/// A ledger read for a report; of a running process, with the kernel's facts as of now.
struct LoadedLedger {
  ledger::Copy copy;
  report::Trigger trigger = report::Trigger::post_mortem;
  std::vector<std::string> notes;  ///< for the report
};
/// Empty: `error` is one line for the user, including the path.
std::optional<LoadedLedger> load_ledger(const std::string& path, std::string& error);
/// From an open file, of running process `pid` (0: the one that the ledger names). `path`: for `error`.
std::optional<LoadedLedger> load_ledger(int file, const std::string& path, int pid, std::string& error);

/// A report together with its source.
struct SourcedReport {
  std::optional<LoadedLedger> ledger;  ///< where it was a ledger
  OwnedReport owned;
  std::optional<render::Series> series;  ///< where it was one
  const report::Report& report() const { return owned.report; }
};
/// The report in `path` (JSON, or made from a ledger; "-": JSON from standard input). Empty: `error` as above.
std::optional<SourcedReport> read_report(const std::string& path, symbolize::Symbolizer& symbolizer,
                                         std::string& error);

/// Several of them, with all names completed. False: a line has been printed for each that could not be read.
bool read_reports(const std::vector<std::string>& paths, symbolize::Symbolizer& symbolizer,
                  std::vector<SourcedReport>& reports);

}  // namespace unfreed::cli
