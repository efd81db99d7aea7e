// Asks servers for debug information and programs by build ID, with elfutils' own client, the command debuginfod-find.
// It keeps what it finds in the user's cache (~/.cache/debuginfod_client), and which files no server has.
#pragma once

#include <string>

namespace unfreed::symbolize {

/// DEBUGINFOD_URLS of this process's environment; "" not set.
std::string debuginfod_servers();

struct DebuginfodAnswer {
  std::string path;        ///< in the cache; "" no server has it, or none answers
  bool has_client = true;  ///< false: debuginfod-find is not installed
};
/// `what`: "debuginfo" or "executable". `servers`: as DEBUGINFOD_URLS. `build_id`: hexadecimal. Waits for a slow server
/// as long as the client does: 90 seconds, or DEBUGINFOD_TIMEOUT.
DebuginfodAnswer ask_debuginfod(const std::string& servers, const char* what, const std::string& build_id);

}  // namespace unfreed::symbolize
