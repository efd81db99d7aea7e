// Options of commands that complete reports: where programs and their debug information are.
#pragma once

#include <string>

#include "cli/command.h"
#include "symbolize/symbolizer.h"

namespace unfreed::cli {

class SymbolOptions {
 public:
  void add_options(Parser& parser);
  /// With the servers of DEBUGINFOD_URLS. Of no other command: a program's end must not wait for a server.
  symbolize::Options symbolizer() const;

 private:
  std::string sysroot_;
  std::string debug_path_;
};

}  // namespace unfreed::cli
