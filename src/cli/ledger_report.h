// From a ledger to a report: the JSON with everything the reader can add, and where it goes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ledger/view.h"
#include "report/json.h"
#include "symbolize/symbolizer.h"

namespace unfreed::cli {

struct ReportRequest {
  report::Trigger trigger = report::Trigger::exit;
  std::span<const report::Rule> rules;
  std::span<const report::Suppression> suppressions;
  int wait_status = -1;  ///< from waitpid, where known
  std::vector<std::string> notes;
  bool all_sites = false;
};

struct LedgerReport {
  report::ReportResult result;
  std::string json;
  std::string brief;  ///< the same with the worst sites only, where there are very many; else ""

  /// What a summary is made from: a summary shows a handful of sites, and parsing a hundred thousand takes seconds.
  const std::string& for_summary() const { return brief.empty() ? json : brief; }
};

/// The whole report. `now_monotonic_ns` is taken here.
LedgerReport make_report(const ledger::View& view, const ReportRequest& request, symbolize::Symbolizer& symbolizer);

/// What the report would come to, without names, suppressions or text: cheap. A process that breaks no rule and holds
/// nothing by this one does not by make_report() either.
report::ReportResult judge(const ledger::View& view, const ReportRequest& request);

/// The report's file: the template with everything filled in. "" when it gets too long.
std::string output_path(const ledger::View& view, std::string_view output_template, uint32_t report_number,
                        bool insert_pid);

/// Base name of the program that the ledger is about.
std::string program_name(const ledger::View& view);

}  // namespace unfreed::cli
