// Where this process's reports go.
#pragma once

#include "ledger/view.h"
#include "report/report_file.h"

namespace unfreed::runtime {

/// At the start: where reports go to a descriptor (-, /dev/stdout, /dev/fd/3), what is it? By the end the program may
/// have closed it, and opened a file of its own under that number. (stderr is remembered by itself.)
void remember_output(std::string_view output);

/// The descriptor that reports go to, to be left open in a copy of this process; −1: none.
int output_descriptor();

/// A report of this process. Large: it lies in memory of its maker's.
struct OwnReportFile {
  report::ReportFile file;
  report::Author author;
  char started[32];
  char path[PATH_MAX];
  /// What to call it where it could not even be opened.
  std::string_view shown_path() const { return file.path().empty() ? std::string_view(path) : file.path(); }
};

/// Opens the report's file. `path`: what a program asked for itself, meant as it is; nullptr: where UNFREED_OUTPUT
/// says. `limit`: it is the process's so-many-th report that was made because a limit was reached; 0: another one.
base::FileProblem open_report(const ledger::View& view, const char* path, uint32_t report_number, uint32_t limit,
                              OwnReportFile& out);

}  // namespace unfreed::runtime
