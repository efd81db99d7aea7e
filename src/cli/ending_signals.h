// The signals that end a command which would go on for long: it ends in order.
#pragma once

#include <cstdint>

#include "base/unique_fd.h"

namespace unfreed::cli {

/// What a terminal's signals that stop a process do to the command. What it traces would wait at each call while it is
/// stopped: then SIGTSTP ends it, and SIGTTIN and SIGTTOU are ignored, for good.
enum class JobControl : uint8_t { stops, ends };

class EndingSignals {
 public:
  /// Blocks SIGINT, SIGTERM and SIGHUP, for good; not where no descriptor is left to notice them by.
  explicit EndingSignals(JobControl job_control = JobControl::stops);

  /// Until `deadline_ns` (CLOCK_MONOTONIC). False: such a signal has come, or `descriptor` is readable (−1: none).
  bool wait_until(uint64_t deadline_ns, int descriptor) const;

 private:
  base::UniqueFd arrived_;
};

}  // namespace unfreed::cli
