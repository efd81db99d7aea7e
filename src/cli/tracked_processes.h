// The processes that are being tracked just now, and which of them a user means.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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
};

/// All whose ledgers this user may read, by number.
std::vector<TrackedProcess> list_tracked_processes();

/// The process that `target` names: its number, that of the `unfreed run` it was started by, or its program's name as
/// for pgrep -x. 0: `error` is one line that says what there is.
int find_target(const std::string& target, std::string& error);

}  // namespace unfreed::cli
