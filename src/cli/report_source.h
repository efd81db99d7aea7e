// Where reports come from, for the commands that read them: report JSON, or a ledger that a process left behind.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ledger/copy.h"
#include "render/model.h"
#include "report/json.h"
#include "symbolize/symbolizer.h"

namespace unfreed::cli {

/// A ledger read for a report: of a process that still runs with the kernel's facts as of now.
struct LoadedLedger {
  ledger::Copy copy;
  report::Trigger trigger = report::Trigger::post_mortem;
  std::vector<std::string> notes;  ///< for the report
};
/// Empty: `error` is one line for the user, with the path in it.
std::optional<LoadedLedger> load_ledger(const std::string& path, std::string& error);

/// The report JSON in `path` ("-": standard input), or made from the ledger there. Empty: `error` as above.
std::optional<std::string> read_report_text(const std::string& path, symbolize::Symbolizer& symbolizer,
                                            std::string& error);
/// Same, as the model. Empty: `error` as above.
std::optional<render::Report> read_report(const std::string& path, symbolize::Symbolizer& symbolizer,
                                          std::string& error);

}  // namespace unfreed::cli
