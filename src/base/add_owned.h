// Adding to a number that others may read but only one thread writes.
#pragma once

#include <atomic>
#include <cstdint>

#include "arch/add_owned.h"

namespace unfreed::base {

/// Adds without a locked instruction. A single one where there is one, so that a signal handler of that thread cannot
/// come in between.
[[gnu::always_inline]] inline void add_owned(std::atomic<uint64_t>& number, uint64_t amount) {
  arch::add_owned(number, amount);
}

}  // namespace unfreed::base
