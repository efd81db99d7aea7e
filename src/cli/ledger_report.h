// From a ledger to a report with everything the reader can add, its JSON, and where it goes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cli/text_file.h"
#include "evaluate/evaluate.h"
#include "ledger/view.h"
#include "report/json_writer.h"
#include "symbolize/symbolizer.h"

namespace unfreed::cli {

struct ReportRequest {
  report::Trigger trigger = report::Trigger::exit;
  std::span<const report::Rule> rules;
  std::span<const report::Suppression> suppressions;
  int wait_status = -1;  ///< from waitpid, where known
  std::vector<std::string> notes;
  bool all_sites = false;
  bool speaks_for_run = false;  ///< see report::ReportInput
  std::span<const report::UntrackedProgram> untracked_of_run;
  std::string_view allow_untracked;
  std::string_view rules_for;
};

/// A report and the memory that it lies in. What it was made from must outlive it.
struct OwnedReport {
  base::Arena arena;
  report::Report report;
};

/// The whole report. The moment it is about, where the process still runs, is now.
OwnedReport make_report(const ledger::View& view, const ReportRequest& request, symbolize::Symbolizer& symbolizer);

/// Its totals and rules only, without names, suppressions or sites: cheap. A process that breaks no rule and holds
/// nothing by this one does not by make_report() either.
OwnedReport make_totals(const ledger::View& view, const ReportRequest& request);

/// The report's file: the template with everything filled in. "": `error` says why there is none.
std::string output_path(const ledger::View& view, std::string_view output_template, uint32_t report_number,
                        std::string& error);
std::string output_path(std::string_view output_template, std::string_view program, int pid, uint32_t report_number,
                        std::string& error);

/// Writes a report that is made in the stead of a ledger's process: its name is told apart from those of other
/// processes (report/report_file.h). `path` is the template's, and receives the one that the report has got.
bool write_process_report(const report::Author& author, std::string_view output_template, std::string_view json,
                          OutputOptions options, std::string& path, std::string& error);

/// Base name of the program that the ledger is about.
std::string program_name(const ledger::View& view);

}  // namespace unfreed::cli
