// Hints about a process as a whole, of which no call sites are known (hints.inc).
#pragma once

#include <cstdint>
#include <span>

#include "base/arena.h"
#include "report/report.h"

namespace unfreed::report {

/// What the kernel says of a descriptor.
struct KernelState {
  Text target;
  uint32_t flags = 0;  ///< ledger::kKernelFd…
};

/// Adds to the report what the state of these says about the mistake. Targets must live as long as the report.
void add_hints_of_process(std::span<const KernelState> descriptors, Report& out, base::Arena& arena);

}  // namespace unfreed::report
