// Adding to a number that others may read but only one thread writes. In one step: a signal handler of that thread may
// add to it, too.
#pragma once

#include <atomic>
#include <cstdint>

namespace unfreed::arch {

[[gnu::always_inline]] inline void add_owned(std::atomic<uint64_t>& number, uint64_t amount) {
  number.fetch_add(amount, std::memory_order_relaxed);
}

}  // namespace unfreed::arch
