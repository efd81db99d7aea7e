// Reads suppression files for a command.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "settings/suppressions.h"

namespace unfreed::cli {

/// Who named a file: a name from a ledger may only lead to regular files, and is ignored unless absolute.
enum class NamedBy : uint8_t { user, ledger };

class SuppressionFiles {
 public:
  /// Reads ':'-separated files, adding to those read before. False: `error` is one line for the user. `pid`: of a
  /// process that runs, whose files are where it sees them; 0: they are where this command sees them.
  bool read(std::string_view files, NamedBy named_by, std::string& error, int pid = 0);

  std::span<const report::Suppression> all() const { return all_; }

 private:
  std::list<std::string> texts_;  ///< what `all_` points into
  std::vector<report::Suppression> all_;
};

}  // namespace unfreed::cli
