// The process that writes a report, and its run: these decide the report's name (report_file.h).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "ledger/view.h"

namespace unfreed::report {

struct Author {
  int pid = 0;
  std::string_view started;        ///< as reports have it (time_text.h)
  uint64_t began_realtime_ns = 0;  ///< it ran then, perhaps as another program
  std::string_view run;            ///< "" unknown
  bool is_first = true;            ///< of its run
};

/// The ledger's process. `started` receives the text, at least 32 bytes; it and the view must outlive the result.
Author author_of(const ledger::View& view, std::span<char> started);

}  // namespace unfreed::report
