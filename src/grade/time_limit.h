// How long something may take that can do without its end. Async-signal-safe.
#pragma once

#include <cstdint>

#include "base/syscall.h"

namespace unfreed::grade {

class TimeLimit {
 public:
  /// CLOCK_MONOTONIC.
  explicit TimeLimit(uint64_t end_ns = UINT64_MAX) : end_ns_(end_ns) {}

  /// Another step. True: that was enough. Reads a clock now and then.
  bool step() {
    if (++steps_ % kStepsOfLook == 0) look();
    return is_over_;
  }
  bool look() {
    is_over_ = is_over_ || base::monotonic_ns() >= end_ns_;
    return is_over_;
  }
  bool is_over() const { return is_over_; }

 private:
  static constexpr uint32_t kStepsOfLook = 1 << 16;
  uint64_t end_ns_;
  uint32_t steps_ = 0;
  bool is_over_ = false;
};

}  // namespace unfreed::grade
