#include "report/graded.h"

namespace unfreed::report {

namespace {

/// A suppression of the place that closed, or of the one that opened, covers what went wrong between them.
uint32_t suppression_of(const ReportInput& input, const Graded& graded, uint32_t acting, uint32_t opened) {
  uint32_t found = find_suppression(input, graded, acting);
  return found != kNoIndex ? found : find_suppression(input, graded, opened);
}

bool is_site(const Graded& graded, uint32_t site) { return site != 0 && graded.view->site(site); }

void grade_misuses(const ReportInput& input, Scratch& scratch, Graded& graded) {
  std::span<GradedMisuse> misuses = scratch.take<GradedMisuse>(graded.view->misuse_count());
  size_t kept = 0;
  for (uint32_t index = 0; index < misuses.size(); ++index) {
    const ledger::Misuse* record = graded.view->misuse(index);
    uint64_t count = record ? record->count.load(std::memory_order_relaxed) : 0;
    bool is_known = record && record->kind >= static_cast<uint8_t>(ledger::MisuseKind::double_close) &&
                    record->kind <= static_cast<uint8_t>(ledger::MisuseKind::stale_owner);
    // Taken back (a sweep over all numbers), or damage.
    if (!is_known || count == 0 || count > INT64_MAX || record->fd < 0 || !is_site(graded, record->site)) continue;
    GradedMisuse& misuse = misuses[kept++];
    misuse = {index, suppression_of(input, graded, record->site, record->opened_site), count};
    graded.misuse.by_kind[record->kind] += count;
    // Shells close what may not be open, and mean it: told, and counted by itself.
    bool counts = record->kind != static_cast<uint8_t>(ledger::MisuseKind::not_open);
    if (misuse.suppression != kNoIndex)
      graded.misuse.suppressed += count;
    else if (counts)
      graded.misuse.live += count;
  }
  graded.misuses = misuses.first(kept);
}

void grade_crossings(const ReportInput& input, Scratch& scratch, Graded& graded) {
  std::span<GradedCrossing> crossings = scratch.take<GradedCrossing>(graded.view->crossing_count());
  size_t kept = 0;
  for (uint32_t index = 0; index < crossings.size(); ++index) {
    const ledger::Crossing* record = graded.view->crossing(index);
    if (!record || record->state.load(std::memory_order_acquire) != ledger::kCrossingValid) continue;
    uint64_t count = record->count.load(std::memory_order_relaxed);
    if (count == 0 || count > INT64_MAX || record->fd < 0 || !is_site(graded, record->site)) continue;
    GradedCrossing& crossing = crossings[kept++];
    crossing = {index, find_suppression(input, graded, record->site), count};
    (crossing.suppression == kNoIndex ? graded.crossing.live : graded.crossing.suppressed) += crossing.count;
  }
  graded.crossings = crossings.first(kept);
}

}  // namespace

void grade_misuse(const ReportInput& input, Scratch& scratch, Graded& graded) {
  grade_misuses(input, scratch, graded);
  grade_crossings(input, scratch, graded);
  graded.short_of_memory |= scratch.short_of_memory();
}

}  // namespace unfreed::report
