// Adding to a number that others may read but only one thread writes: one instruction.
#pragma once

#include <atomic>
#include <cstdint>

namespace unfreed::arch {

[[gnu::always_inline]] inline void add_owned(std::atomic<uint64_t>& number, uint64_t amount) {
  asm("addq %1, %0" : "+m"(number) : "er"(amount) : "cc");
}

}  // namespace unfreed::arch
