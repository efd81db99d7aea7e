// Whole files in and out.
#pragma once

#include <string>
#include <string_view>

namespace unfreed::cli {

/// Reads a file (a pipe, standard input for "-") to its end. False: `error` says why.
bool read_text_file(const std::string& path, std::string& text, std::string& error);

/// Writes a file so that readers see all of it or none: under a temporary name in the same directory, then renamed.
/// What exists and is no regular file (/dev/stdout, a pipe) is written to as it is; "-" is standard output. A file that
/// is replaced keeps its permissions. False: `error` says why, and nothing is left behind.
bool write_text_file(const std::string& path, std::string_view text, std::string& error);

}  // namespace unfreed::cli
