// The processes that are being tracked just now, and which of them a user means.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ledger/layout.h"

namespace unfreed::cli {

struct TrackedProcess {
  int pid = 0;
  int parent = 0;
  std::string name;       ///< of the program
  std::string arguments;  ///< all of them, with blanks between
  uint64_t running_ns = 0;
  uint64_t descriptors = 0;  ///< held, and acquired by the process itself
  uint64_t heap_bytes = 0;
  uint64_t threads = 0;  ///< that run besides the main one
  std::string key;       ///< of its image (series_key())
  /// By kind, as a series has it: of the heap bytes, of others those that are held or run. Absent: not tracked.
  std::array<std::optional<uint64_t>, ledger::kKindCount> held;
  uint64_t open = 0;   ///< descriptors, inherited ones included
  uint64_t limit = 0;  ///< on them; 0: none
};

/// The numbers of all processes, whether tracked or not.
std::vector<int> list_processes();

/// All whose ledgers this user may read, by number.
std::vector<TrackedProcess> list_tracked_processes();

/// The process that `target` names: its number, that of the `unfreed run` it was started by, or its program's name as
/// for pgrep -x. 0: `error` is one line that says what there is.
int find_target(const std::string& target, std::string& error);

}  // namespace unfreed::cli
