// Whole files in and out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace unfreed::cli {

inline constexpr uint64_t kMostInputBytes = uint64_t{512} << 20;  ///< of a report given to a command

/// Reads a file that the user named: a regular file, or, for "-", /dev/stdin and /dev/fd/N (as in `<(cat FILE)`), that
/// descriptor to its end, whatever it is. At most `most_bytes`. False: `error` says why.
bool read_input_file(const std::string& path, uint64_t most_bytes, std::string& text, std::string& error);

/// Reads a file that somebody else named (a ledger, the kernel): a regular file only.
bool read_regular_file(const std::string& path, uint64_t most_bytes, std::string& text, std::string& error);

/// Writes a file so that readers see all of it or none: under a temporary name in the same directory, then renamed.
/// What exists and is no regular file (/dev/stdout, a pipe) is written to as it is; "-" is standard output. A file that
/// is replaced keeps its permissions. False: `error` says why, and nothing is left behind.
bool write_text_file(const std::string& path, std::string_view text, std::string& error);

}  // namespace unfreed::cli
