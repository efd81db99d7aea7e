// The output of this process's reports.
#pragma once

#include "ledger/view.h"
#include "report/report_file.h"

namespace unfreed::runtime {

/// At the start: if reports go to a descriptor (-, /dev/stdout, /dev/fd/3), remembers what it is. By the end a program
/// may have closed it, and opened a file of its own under that number. (messages.h remembers stderr.)
void remember_output(std::string_view output);

/// The descriptor that reports go to, which must stay open in a copy of this process; −1: none.
int output_descriptor();

/// A report of this process. Large: the caller provides its memory.
struct OwnReportFile {
  report::ReportFile file;
  report::Author author;
  char started[32];
  char path[PATH_MAX];
  /// What messages call it if it could not even be opened.
  std::string_view shown_path() const { return file.path().empty() ? std::string_view(path) : file.path(); }
};

/// Opens the report's file. `path`: a name that the program asked for, used as it is; nullptr: UNFREED_OUTPUT's
/// name. `limit`: the number of this report among those that the process makes because a limit is reached; 0: none.
/// `only_at_once`: a problem where writing may take long.
base::FileProblem open_report(const ledger::View& view, const char* path, uint32_t report_number, uint32_t limit,
                              bool only_at_once, OwnReportFile& out);

}  // namespace unfreed::runtime
