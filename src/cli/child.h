// Starts CMD so that it notices nothing: same process group, same signal state, same descriptors.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "cli/signal_relay.h"
#include "trace/tracer.h"

namespace unfreed::cli {

struct Started {
  pid_t pid = -1;
  int error = 0;        ///< errno of the exec that failed; 0: the program runs
  int trace_error = 0;  ///< errno: it runs, but is not traced
};

/// Forks and executes `words[0]` (searched in PATH as the shell does) with that environment. Waits until exec has
/// succeeded or failed. `tracer`: what the program is to be traced by; null: nothing. `untraced`: the environment for
/// it where it cannot be traced; null: the same.
Started start(const std::vector<std::string>& words, const std::vector<std::string>& environment,
              const SignalRelay& signals, const trace::Tracer* tracer = nullptr,
              const std::vector<std::string>* untraced = nullptr);

/// The exit status for a CMD that could not be executed, 126 or 127, and one line with the reason.
int explain_start_failure(const std::string& command, int error, std::string& line);

/// The same, absolute; `command` itself if there is no such file.
std::string program_path(const std::string& command);

/// The file that `command` names, searched in PATH as a shell would; "" if there is none. `executable` receives
/// whether it may be executed.
std::string find_program(const std::string& command, bool& executable);

}  // namespace unfreed::cli
