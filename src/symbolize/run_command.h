// Runs another program for a command of unfreed, and waits for its end.
#pragma once

#include <string>
#include <vector>

namespace unfreed::symbolize {

/// Its standard streams; descriptors of the caller's, which stay open. -1: /dev/null.
struct CommandStreams {
  int in = -1;
  int out = -1;
  int err = -1;
};

struct CommandEnd {
  int error = 0;   ///< an errno: it could not be started (ENOENT: it is not installed)
  int status = 0;  ///< as waitpid() has it
  bool has_exited_with(int wanted) const;
};

/// Finds `words[0]` by PATH. `variables`: its environment; nullptr: the caller's. Thread-safe.
CommandEnd run_command(std::vector<std::string> words, const CommandStreams& streams,
                       std::vector<std::string>* variables = nullptr);

}  // namespace unfreed::symbolize
