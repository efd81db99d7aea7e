// Writes to files that may not accept it: a pipe that is full or whose reader is gone, a terminal that is stopped, a
// file that may not grow. Raises no signal, and waits no longer than the given limit. The open file stays as it
// is: others may share it. System calls alone; async-signal-safe.
#pragma once

#include <signal.h>

#include <cstdint>
#include <string_view>

#include "base/file_problem.h"

namespace unfreed::base {

// Sets of signals that a write can raise in its thread.
inline constexpr uint64_t kFileSizeSignal = uint64_t{1} << (SIGXFSZ - 1);
inline constexpr uint64_t kWriteSignals = kFileSizeSignal | uint64_t{1} << (SIGPIPE - 1) | uint64_t{1} << (SIGTTOU - 1);

/// Blocks these signals while it lives; discards those that a write has raised.
class HeldWriteSignals {
 public:
  explicit HeldWriteSignals(uint64_t signals);
  ~HeldWriteSignals();
  HeldWriteSignals(const HeldWriteSignals&) = delete;
  HeldWriteSignals& operator=(const HeldWriteSignals&) = delete;

 private:
  uint64_t signals_;
  uint64_t mask_before_ = 0;
  uint64_t pending_before_ = 0;
};

inline constexpr int kForever = -1;

/// Writes all of `text`, or returns the problem. Gives up when nothing could be written for `patience_ms`; kForever:
/// waits as programs do, in the kernel. The caller handles signals.
FileProblem write_bounded(long fd, std::string_view text, int patience_ms);

}  // namespace unfreed::base
