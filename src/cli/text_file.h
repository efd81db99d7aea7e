// Whole files in and out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "report/report_file.h"

namespace unfreed::cli {

inline constexpr uint64_t kMostInputBytes = uint64_t{512} << 20;  ///< of a report given to a command

/// Reads a file that the user named: a regular file, or, for "-", /dev/stdin and /dev/fd/N (as in `<(cat FILE)`), that
/// descriptor to its end, whatever it is. At most `most_bytes`. False: `error` says why.
bool read_input_file(const std::string& path, uint64_t most_bytes, std::string& text, std::string& error);

/// Reads a file that somebody else named (a ledger, the kernel): a regular file only.
bool read_regular_file(const std::string& path, uint64_t most_bytes, std::string& text, std::string& error);

/// How a command writes what it was asked for: for its standard output it waits as programs do.
struct OutputOptions : report::ReportFileOptions {
  OutputOptions() { descriptor_patience_ms = base::kForever; }
};

inline constexpr const char* kForceHelp = "let FILE be replaced whatever it is (else only a report is)";

/// Writes a report, in whatever form (report/report_file.h). False: `error` says why, and nothing is left behind.
/// `where` (may be nullptr) receives the path that it has got.
bool write_report_file(const std::string& path, std::string_view text, const OutputOptions& options, std::string& error,
                       std::string* where = nullptr);

/// Removes what write_report_file() has begun, if it is at work: for a signal handler that ends the process.
void discard_unfinished_report();

}  // namespace unfreed::cli
