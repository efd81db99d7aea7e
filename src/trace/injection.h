// Loads the runtime into a process that runs already, and has it begin and end to track: by calls that one of the
// process's threads is made to make.
//
//     a thread at a safe point (trace/safe_point.h), in a system call
//        │  stopped: registers, vector registers, signal mask and errno are kept; all signals wait
//        ▼
//     dlopen(library), unfreed_runtime_attach(settings)         the other threads run
//        ▼
//     unfreed_runtime_redirect()                                the others are stopped, for some milliseconds
//        ▼
//     everything as it was; the system call goes on
//
// A called function runs on a stack that is mapped for it, and returns as a signal handler does
// (trace/borrowed_thread.h). So no code is written, and no signal is raised.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace unfreed::trace {

/// What has become of it.
struct Injected {
  std::string problem;       ///< "": it is done; else one clause about the process, which is as it was
  int error = 0;             ///< an errno, where the kernel does not let the process be traced
  int threads = 0;           ///< that were stopped
  uint64_t stopped_ns = 0;   ///< for how long
  uint64_t occupied_ns = 0;  ///< how long the thread that made the calls was kept from its own
};

/// Can it be done on this kind of processor?
extern const bool kCanInject;

/// Loads `library` (an absolute path, where the process can read it) unless it is there, and begins to track.
/// `settings`: "NAME=value". Waits for a safe point for as long as `patience_ns`. The caller has all of this command's
/// signals blocked.
Injected inject(int pid, const std::string& library, const std::vector<std::string>& settings, uint64_t patience_ns);

/// Ends it. The ledger is complete.
Injected take_out(int pid, uint64_t patience_ns);

}  // namespace unfreed::trace
