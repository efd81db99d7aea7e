// Memory for the time of a call, which is given back: what makes a report may be the process itself.
#pragma once

#include <cstddef>

#include "base/syscall.h"

namespace unfreed::base {

class PassingMemory {
 public:
  /// Zeroed, and lazily backed. Async-signal-safe.
  explicit PassingMemory(size_t bytes) : bytes_(bytes), start_(map_memory(bytes)) {}
  ~PassingMemory() {
    if (start_) unmap_memory(start_, bytes_);
  }
  PassingMemory(const PassingMemory&) = delete;
  PassingMemory& operator=(const PassingMemory&) = delete;
  /// nullptr: there is none.
  void* start() const { return start_; }

 private:
  size_t bytes_;
  void* start_;
};

}  // namespace unfreed::base
