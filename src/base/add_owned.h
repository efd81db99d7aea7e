// Adds to a number that others may read but only one thread writes.
#pragma once

#include <atomic>
#include <cstdint>

#include "arch/add_owned.h"

namespace unfreed::base {

/// Adds without a locked instruction; a single instruction if the processor has one, so that a signal handler of that
/// thread cannot interrupt it.
[[gnu::always_inline]] inline void add_owned(std::atomic<uint64_t>& number, uint64_t amount) {
  arch::add_owned(number, amount);
}

}  // namespace unfreed::base
