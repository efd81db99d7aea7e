// What was acquired after a mark and is held: in all, and, where a table is given, for each site. Of a sampled heap:
// estimates. Allocation-free, async-signal-safe; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ledger/layout.h"

namespace unfreed::track {

/// How many, and their bytes where they have a size.
struct LiveCount {
  uint64_t count;
  uint64_t bytes;
};

class LiveSince {
 public:
  LiveSince() = default;
  /// `by_site`: zeroed; what belongs to no site, or to one beyond the table, is in the rest.
  explicit LiveSince(std::span<LiveCount> by_site) : by_site_(by_site) {}

  void add(uint32_t site, uint64_t bytes = 0) { add_estimate(site, kOne, bytes << ledger::kSampledCountShift); }
  /// Both in units of 1 / 2^ledger::kSampledCountShift.
  void add_estimate(uint32_t site, uint64_t count, uint64_t bytes) {
    total_ += count;
    LiveCount& holder = site == 0 || site >= by_site_.size() ? rest_ : by_site_[site];
    holder.count += count;
    holder.bytes += bytes;
  }

  int64_t total() const { return static_cast<int64_t>(total_ >> ledger::kSampledCountShift); }
  /// Whole ones, the site's.
  LiveCount of(size_t site) const { return whole(by_site_[site]); }
  LiveCount rest() const { return whole(rest_); }
  size_t sites() const { return by_site_.size(); }

 private:
  static constexpr uint64_t kOne = uint64_t{1} << ledger::kSampledCountShift;

  static LiveCount whole(const LiveCount& sum) {
    constexpr uint64_t kHalf = kOne / 2;
    return {(sum.count + kHalf) >> ledger::kSampledCountShift, (sum.bytes + kHalf) >> ledger::kSampledCountShift};
  }

  std::span<LiveCount> by_site_;
  LiveCount rest_{};
  uint64_t total_ = 0;
};

}  // namespace unfreed::track
