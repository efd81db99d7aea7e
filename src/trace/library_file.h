// The ledger of the runtime in a traced process, which completes the tracer's (ledger/library_part.h).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "ledger/layout.h"

namespace unfreed::trace {

class LibraryFile {
 public:
  /// ledger::Coverage by kind.
  using Coverages = std::array<uint8_t, ledger::kKindSlots>;

  /// In an open folder, of process `pid` in that pid namespace. Whether it is there is looked up by each function.
  LibraryFile(int folder, int pid, uint64_t pid_namespace) : folder_(folder), pid_(pid), namespace_(pid_namespace) {}

  /// None: there is no such file.
  std::optional<Coverages> coverages() const;
  void remove() const;

 private:
  void each_name(const std::function<void(const char* name)>& act) const;

  int folder_;
  int pid_;
  uint64_t namespace_;
};

}  // namespace unfreed::trace
