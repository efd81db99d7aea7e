// The option --older of commands that show reports.
#pragma once

#include <cstdint>
#include <string>

#include "cli/command.h"
#include "cli/ledger_report.h"

namespace unfreed::cli {

class AgeFilter {
 public:
  void add_option(Parser& parser);
  /// False: it cannot be read, and a line has been printed.
  bool read();
  /// Does nothing where the option was not given.
  void apply(OwnedReport& report) const;

 private:
  std::string text_;
  uint64_t age_ns_ = 0;
};

}  // namespace unfreed::cli
