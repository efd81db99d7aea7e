#include "track/sampling.h"

#include <cstring>

#include "ledger/layout.h"

namespace unfreed::track {

namespace {

/// Leaves the program's floating-point flags, rounding mode and traps alone. Compilers move arithmetic past
/// this unless it is in functions of their own, not inlined.
class FloatingPoint {
 public:
#if defined(__SSE2__)
  FloatingPoint() : saved_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(0x1f80); }
  ~FloatingPoint() { __builtin_ia32_ldmxcsr(saved_); }

 private:
  unsigned saved_;
#else
  FloatingPoint() {}
#endif
};

uint64_t bits_of(double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
double from_bits(uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
/// 2^exponent, for normal results.
double power_of_two(int exponent) { return from_bits(static_cast<uint64_t>(1023 + exponent) << 52); }

constexpr double kLn2 = 0.69314718055994530942;

/// Natural logarithm of a normal positive number; there is no libm here. Absolute error below 1e-10: of gaps of 512
/// KiB, a thousandth of a byte.
double logarithm(double x) {
  uint64_t bits = bits_of(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = from_bits((bits & ((uint64_t{1} << 52) - 1)) | uint64_t{1023} << 52);
  double z = (m - 1) / (m + 1), square = z * z, power = z, sum = 0;
  for (int n = 1; n <= 17; n += 2, power *= square) sum += power / n;
  return 2 * sum + exponent * kLn2;
}

/// 1 − exp(−x) for x ≥ 0, exact to the last digits for small x too.
double one_minus_exp(double x) {
  if (x > 40) return 1;
  int halvings = x > 0.5 ? static_cast<int>(x / kLn2 + 0.5) : 0;
  double r = x - halvings * kLn2, term = r, sum = r;
  for (int n = 2; n <= 16; ++n) sum += term *= -r / n;
  // sum is 1 − exp(−r), exp(−x) is exp(−r) halved that often.
  return halvings ? 1 - (1 - sum) * power_of_two(-halvings) : sum;
}

}  // namespace

uint64_t next_random(uint64_t& state) {
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

namespace {

[[gnu::noinline]] uint64_t gap_for(uint64_t random, uint64_t interval) {
  double uniform = (static_cast<double>(random >> 11) + 1) * power_of_two(-53);  // (0, 1]
  double gap = -logarithm(uniform) * static_cast<double>(interval);
  // A block of n bytes holds the point if gap < n, for whole n: if the gap's whole part is less than n.
  return static_cast<uint64_t>(gap) + 1;
}

[[gnu::noinline]] SampleWeight weight_of(uint64_t size, uint64_t interval) {
  auto bytes = static_cast<double>(size);
  double p = one_minus_exp((size ? bytes : 1) / static_cast<double>(interval));
  double unit = static_cast<double>(uint64_t{1} << ledger::kSampledCountShift);
  double variance = (1 - p) / (p * p);
  return {static_cast<uint64_t>(unit / p + 0.5), variance, variance * bytes * bytes};
}

[[gnu::noinline]] uint64_t sum_of(uint64_t bits, double amount) { return bits_of(from_bits(bits) + amount); }

}  // namespace

uint64_t draw_gap(uint64_t& random_state, uint64_t interval) {
  FloatingPoint own;
  return gap_for(next_random(random_state), interval);
}

SampleWeight sample_weight(uint64_t size, uint64_t interval) {
  FloatingPoint own;
  return weight_of(size, interval);
}

void add_shared(std::atomic<uint64_t>& sum, double amount) {
  FloatingPoint own;
  uint64_t seen = sum.load(std::memory_order_relaxed);
  while (!sum.compare_exchange_weak(seen, sum_of(seen, amount), std::memory_order_relaxed)) {
  }
}

}  // namespace unfreed::track
