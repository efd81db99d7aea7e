#include "report/report.h"

namespace unfreed::report {

AgeSummary summarize(std::span<const AgeGroup> ages) {
  AgeSummary summary;
  uint64_t all = 0, older = 0;
  for (const AgeGroup& one : ages) all += one.live;
  for (const AgeGroup& one : ages) {
    if (!older) summary.oldest_ns = one.age_ns;
    if (older < all - all / 2) summary.median_ns = one.age_ns;
    older += one.live;
  }
  return summary;
}

void Site::take_ages() {
  AgeSummary summary = summarize(ages.span());
  oldest_age_ns = summary.oldest_ns;
  median_age_ns = summary.median_ns;
}

}  // namespace unfreed::report
