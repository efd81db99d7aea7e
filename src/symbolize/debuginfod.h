// Asks servers for debug information and programs by build ID, with elfutils' own client, the command debuginfod-find.
// It keeps what it finds in the user's cache (~/.cache/debuginfod_client), and which files no server has.
#pragma once

#include <string>
#include <utility>

namespace unfreed::symbolize {

/// DEBUGINFOD_URLS of this process's environment; "" not set.
std::string debuginfod_servers();

/// Not thread-safe.
class Debuginfod {
 public:
  /// `servers`: as DEBUGINFOD_URLS; "": nobody is asked.
  explicit Debuginfod(std::string servers) : servers_(std::move(servers)) {}

  /// The path, in the cache, of a file with that build ID (hexadecimal). `what`: "debuginfo" or "executable". "": no
  /// server has it, or none answers. Waits for a slow server as long as the client does (90 seconds, or
  /// DEBUGINFOD_TIMEOUT), and asks no more once that was in vain.
  std::string find(const char* what, const std::string& build_id);
  /// Why no more is asked; "" where nothing is wrong.
  const std::string& problem() const { return problem_; }

 private:
  std::string servers_;
  std::string problem_;
};

}  // namespace unfreed::symbolize
