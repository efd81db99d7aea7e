// The arithmetic of sampling: probabilities, and that estimates are right on average.
#include "track/sampling.h"

#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>

#include "ledger/layout.h"

namespace unfreed::track {
namespace {

constexpr double kUnit = 1u << ledger::kSampledCountShift;

TEST(Sampling, WeightIsTheInverseOfTheProbability) {
  for (uint64_t interval : {1ul, 100ul, 4096ul, 524288ul, 1ul << 30})
    for (uint64_t size : {1ul, 24ul, 100ul, 4096ul, 300000ul, 1ul << 20, 1ul << 40}) {
      double p = -std::expm1(-static_cast<double>(size) / static_cast<double>(interval));
      SampleWeight weight = sample_weight(size, interval);
      EXPECT_NEAR(static_cast<double>(weight.blocks) / kUnit, 1 / p, 1 / p * 1e-9 + 0.5 / kUnit);
      double variance = (1 - p) / (p * p);
      EXPECT_NEAR(weight.blocks_variance, variance, variance * 1e-6 + 1e-9);
      EXPECT_NEAR(weight.bytes_variance, variance * double(size) * double(size),
                  variance * double(size) * double(size) * 1e-6 + 1e-3);
    }
  EXPECT_EQ(sample_weight(0, 4096).blocks, sample_weight(1, 4096).blocks);
}

TEST(Sampling, GapsAreExponential) {
  uint64_t random = 12345;
  constexpr int kDraws = 200000;
  constexpr double kInterval = 10000;
  double sum = 0, squares = 0;
  int beyond = 0;
  for (int i = 0; i < kDraws; ++i) {
    auto gap = static_cast<double>(draw_gap(random, static_cast<uint64_t>(kInterval)));
    EXPECT_GE(gap, 1);
    sum += gap;
    squares += gap * gap;
    beyond += gap > 3 * kInterval;
  }
  double mean = sum / kDraws, deviation = std::sqrt(squares / kDraws - mean * mean);
  EXPECT_NEAR(mean, kInterval, 5 * kInterval / std::sqrt(double(kDraws)));
  EXPECT_NEAR(deviation, kInterval, 0.02 * kInterval);
  EXPECT_NEAR(beyond, kDraws * std::exp(-3), 5 * std::sqrt(kDraws * std::exp(-3)));
}

/// What a thread that allocates blocks of these sizes in turn would come to, and how sure it would be.
TEST(Sampling, EstimatesAreRightOnAverageForEverySize) {
  constexpr uint64_t kInterval = 8192;
  constexpr uint64_t kSizes[] = {1, 24, 100, 1000, 8192, 100000};
  constexpr int kEach = 200000;
  uint64_t random = 99, gap = draw_gap(random, kInterval);
  double blocks[std::size(kSizes)] = {}, variance[std::size(kSizes)] = {};
  for (int i = 0; i < kEach; ++i)
    for (size_t s = 0; s < std::size(kSizes); ++s) {
      if (kSizes[s] < gap) {
        gap -= kSizes[s];
        continue;
      }
      gap = draw_gap(random, kInterval);
      SampleWeight weight = sample_weight(kSizes[s], kInterval);
      blocks[s] += static_cast<double>(weight.blocks) / kUnit;
      variance[s] += weight.blocks_variance;
    }
  for (size_t s = 0; s < std::size(kSizes); ++s) {
    double p = -std::expm1(-static_cast<double>(kSizes[s]) / kInterval);
    double error = std::sqrt(kEach * (1 - p) / p);
    EXPECT_NEAR(blocks[s], kEach, 4 * error + 1) << kSizes[s];
    if (s < 4) {
      EXPECT_NEAR(std::sqrt(variance[s]), error, error * 0.3) << kSizes[s];
    }
  }
}

TEST(Sampling, LeavesTheFloatingPointStateAlone) {
  std::feclearexcept(FE_ALL_EXCEPT);
  std::fesetround(FE_UPWARD);
  uint64_t random = 1;
  std::atomic<uint64_t> sum{0};
  draw_gap(random, 12345);
  add_shared(sum, sample_weight(77, 12345).blocks_variance);
  EXPECT_EQ(std::fetestexcept(FE_ALL_EXCEPT), 0);
  EXPECT_EQ(std::fegetround(), FE_UPWARD);
  std::fesetround(FE_TONEAREST);
}

}  // namespace
}  // namespace unfreed::track
