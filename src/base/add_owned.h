// Adding to a number that others may read but only one thread writes.
#pragma once

#include <atomic>
#include <cstdint>

namespace unfreed::base {

/// Adds without a locked instruction. A single one where there is one, so that a signal handler of that thread cannot
/// come in between.
[[gnu::always_inline]] inline void add_owned(std::atomic<uint64_t>& number, uint64_t amount) {
#if defined(__x86_64__)
  asm("addq %1, %0" : "+m"(number) : "er"(amount) : "cc");
#else
  number.store(number.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
#endif
}

}  // namespace unfreed::base
