// Reads and writes whole files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "report/report_file.h"

namespace unfreed::cli {

inline constexpr uint64_t kMostInputBytes = uint64_t{512} << 20;  ///< of a report given to a command

/// Reads a file that the user named: a regular file, or, for "-", /dev/stdin and /dev/fd/N (as in `<(cat FILE)`), that
/// descriptor to its end, of whatever type. At most `most_bytes`. False: `error` is the reason.
bool read_input_file(const std::string& path, uint64_t most_bytes, std::string& text, std::string& error);

/// Reads a file that was not named by the user (but by a ledger, the kernel): a regular file only.
bool read_regular_file(const std::string& path, uint64_t most_bytes, std::string& text, std::string& error);

/// Writes a command's output: to standard output it waits as programs do.
struct OutputOptions : report::ReportFileOptions {
  OutputOptions() { descriptor_patience_ms = base::kForever; }
};

inline constexpr const char* kForceHelp = "overwrite FILE even if it is not a report or empty";

/// Writes a report, in any format (report/report_file.h). False: `error` is the reason, and nothing is left behind.
/// `where` (may be nullptr) receives the path that was used.
bool write_report_file(const std::string& path, std::string_view text, const OutputOptions& options, std::string& error,
                       std::string* where = nullptr);

/// Removes what write_report_file() has begun, if it is at work: for a signal handler that ends the process.
void discard_unfinished_report();

}  // namespace unfreed::cli
