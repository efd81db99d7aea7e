// UNFREED_SAMPLE: which heap blocks are sampled, and how many blocks each of them represents.
//
// Points are distributed over the bytes that a thread allocates, with exponentially distributed gaps of a given mean
// (the interval). A block is sampled if a point falls into it: with probability p = 1 − exp(−size / interval), whatever
// came before it. It counts as 1/p blocks, so every sum of sampled blocks is unbiased, for each size separately
// (Horvitz and Thompson, 1952), and (1−p)/p² summed over them estimates its variance.
//
// Allocation-free, async-signal-safe, and leaves the floating-point state as it was.
#pragma once

#include <atomic>
#include <cstdint>

namespace unfreed::track {

/// The next pseudo-random number (splitmix64).
uint64_t next_random(uint64_t& state);

/// Bytes up to the next point, at least 1: a block of n bytes is skipped if n is less than that. `interval` ≥ 1.
uint64_t draw_gap(uint64_t& random_state, uint64_t interval);

/// How much one sampled block of a size represents.
struct SampleWeight {
  uint64_t blocks;         ///< 1/p, in units of 1 / 2^ledger::kSampledCountShift
  double blocks_variance;  ///< (1−p)/p²
  double bytes_variance;   ///< the same in bytes²
};
SampleWeight sample_weight(uint64_t size, uint64_t interval);

/// Adds to a sum of doubles kept as their bits; from any thread.
void add_shared(std::atomic<uint64_t>& sum, double amount);

}  // namespace unfreed::track
