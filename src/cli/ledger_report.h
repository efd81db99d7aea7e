// Makes the report of a ledger with everything that the command can add, and writes it.
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
  const report::Settings* settings = &report::kDefaultSettings;
  std::span<const report::Suppression> suppressions;
  int wait_status = -1;       ///< from waitpid, where known
  std::string still_running;  ///< evaluate.h
  std::vector<std::string> notes;
  bool all_sites = false;
  uint32_t most_sites = 0;      ///< see report::ReportInput
  bool speaks_for_run = false;  ///< see report::ReportInput
  std::span<const report::UntrackedProgram> untracked_of_run;
  uint64_t clean_processes = 0;
};

/// A report and the memory that it lies in. Its source must outlive it.
struct OwnedReport {
  base::Arena arena;
  report::Report report;
};

/// The whole report. For a process that is still running, it describes this moment.
OwnedReport make_report(const ledger::View& view, const ReportRequest& request, symbolize::Symbolizer& symbolizer);

/// Its totals and rules only, without names, suppressions or sites: cheap. A process that breaks no rule and holds
/// nothing according to this does not according to make_report() either.
OwnedReport make_totals(const ledger::View& view, const ReportRequest& request);

/// With all its sites, but without names and suppressions: cheap enough to be made again and again.
OwnedReport make_plain_report(const ledger::View& view, const ReportRequest& request);

/// The report's file: the template, expanded. "": `error` is the reason.
std::string output_path(const ledger::View& view, std::string_view output_template, uint32_t report_number,
                        std::string& error);
std::string output_path(std::string_view output_template, std::string_view program, int pid, uint32_t report_number,
                        std::string& error);

/// Writes a report on behalf of a ledger's process: its name is kept different from those of other processes
/// (report/report_file.h). `path` is the template's, and receives the one that was used.
bool write_process_report(const report::Author& author, std::string_view output_template, std::string_view json,
                          OutputOptions options, std::string& path, std::string& error);

/// Base name of the ledger's program.
std::string program_name(const ledger::View& view);

}  // namespace unfreed::cli
