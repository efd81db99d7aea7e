// Adding to a number that others may read but only one thread writes: a load and a store.
#pragma once

#include <atomic>
#include <cstdint>

namespace unfreed::arch {

[[gnu::always_inline]] inline void add_owned(std::atomic<uint64_t>& number, uint64_t amount) {
  number.store(number.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

}  // namespace unfreed::arch
