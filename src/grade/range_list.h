// Ranges of addresses that are collected, put in order, and then left out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "grade/heap_graph.h"
#include "grade/scratch.h"

namespace unfreed::grade {

class RangeList {
 public:
  /// False: no memory.
  bool prepare(size_t most) {
    most_ = most;
    ranges_ = memory_.reserve_array<Range>(most + 1);
    return ranges_;
  }
  void add(uintptr_t low, uintptr_t high) {
    if (low >= high) return;
    if (count_ < most_)
      ranges_[count_++] = {low, high};
    else
      is_full_ = true;
  }
  /// Was there no room for one?
  bool is_full() const { return is_full_; }

  /// Puts them in order, and overlapping ones together.
  void sort() {
    std::sort(ranges_, ranges_ + count_, [](const Range& a, const Range& b) { return a.low < b.low; });
    size_t kept = 0;
    for (size_t at = 0; at < count_; ++at) {
      if (kept && ranges_[at].low <= ranges_[kept - 1].high)
        ranges_[kept - 1].high = std::max(ranges_[kept - 1].high, ranges_[at].high);
      else
        ranges_[kept++] = ranges_[at];
    }
    count_ = kept;
  }
  std::span<const Range> all() const { return {ranges_, count_}; }
  /// Calls `visit(low, high)` for each part of a range that is in none of them. They are in order.
  template <class Visit>
  void each_gap(Range range, Visit visit) const {
    const Range* next = std::upper_bound(ranges_, ranges_ + count_, range.low,
                                         [](uintptr_t at, const Range& one) { return at < one.high; });
    uintptr_t at = range.low;
    for (; next != ranges_ + count_ && next->low < range.high; ++next) {
      if (next->low > at) visit(at, next->low);
      at = std::max(at, next->high);
    }
    if (at < range.high) visit(at, range.high);
  }

 private:
  Scratch memory_;
  Range* ranges_ = nullptr;
  size_t count_ = 0;
  size_t most_ = 0;
  bool is_full_ = false;
};

}  // namespace unfreed::grade
