#include "evaluate/accepted.h"
#include "evaluate/evaluation.h"

namespace unfreed::report {

namespace {

/// A suppression of the closing or of the opening call site covers the invalid close.
uint32_t suppression_of(const ReportInput& input, Evaluation& evaluation, uint32_t acting, uint32_t opened) {
  uint32_t found = find_suppression(input, evaluation, acting);
  if (found == kNoIndex) found = find_suppression(input, evaluation, opened);
  return found != kNoIndex ? found : accepted_misuse(input, evaluation, acting);
}

Counter counter_of(uint8_t misuse_kind) {
  switch (static_cast<ledger::MisuseKind>(misuse_kind)) {
    case ledger::MisuseKind::not_open:
      return Counter::not_open;
    case ledger::MisuseKind::behind_owner:
      return Counter::behind_owner;
    case ledger::MisuseKind::stale_owner:
      return Counter::stale_owner;
    case ledger::MisuseKind::standard_closed:
      return Counter::standard_closed;
    default:
      return Counter::double_close;
  }
}

/// Invalid closes that may be intended have counters of their own: shells close what may not be open, and some close
/// a standard stream. The counter of its suppressed part; Counter::suppressed for what counts.
Counter suppressed_part(Counter counter) {
  Counter part = row_of(counter).suppressed;
  return part == Counter::none ? Counter::suppressed : part;
}

bool is_site(const Evaluation& evaluation, uint32_t site) { return site != 0 && evaluation.view->site(site); }

void evaluate_misuses(const ReportInput& input, base::Arena& arena, Evaluation& evaluation) {
  std::span<EvaluatedMisuse> misuses = arena.take_array<EvaluatedMisuse>(evaluation.view->misuse_count());
  size_t kept = 0;
  for (uint32_t index = 0; index < misuses.size(); ++index) {
    const ledger::Misuse* record = evaluation.view->misuse(index);
    uint64_t count = record ? record->count.load(std::memory_order_relaxed) : 0;
    bool is_known = record && record->kind >= static_cast<uint8_t>(ledger::MisuseKind::double_close) &&
                    record->kind <= static_cast<uint8_t>(ledger::kLastMisuseKind);
    // Withdrawn (it was a loop over all numbers), or damaged.
    if (!is_known || count == 0 || count > INT64_MAX || !is_site(evaluation, record->site)) continue;
    EvaluatedMisuse& misuse = misuses[kept++];
    misuse = {index, suppression_of(input, evaluation, record->site, record->opened_site), count};
    evaluation.use(input.suppressions, misuse.suppression, count);
  }
  evaluation.misuses = misuses.first(kept);
  Totals& totals = evaluation.of(Subject::misuse);
  for (EvaluatedMisuse& misuse : evaluation.misuses) {
    if (!evaluation.use(input.suppressions, misuse.suppression, 0)) misuse.suppression = kNoIndex;
    Counter counter = counter_of(evaluation.view->misuse(misuse.index)->kind);
    totals[counter] += misuse.count;
    Counter suppressed = suppressed_part(counter);
    if (suppressed == Counter::suppressed) totals[Counter::live] += misuse.count;
    if (misuse.suppression != kNoIndex) totals[suppressed] += misuse.count;
  }
}

void evaluate_exec_leaks(const ReportInput& input, base::Arena& arena, Evaluation& evaluation) {
  std::span<EvaluatedExecLeak> exec_leaks = arena.take_array<EvaluatedExecLeak>(evaluation.view->exec_leak_count());
  size_t kept = 0;
  for (uint32_t index = 0; index < exec_leaks.size(); ++index) {
    const ledger::ExecLeak* record = evaluation.view->exec_leak(index);
    if (!record || record->state.load(std::memory_order_acquire) != ledger::kExecLeakValid) continue;
    uint64_t count = record->count.load(std::memory_order_relaxed);
    if (count == 0 || count > INT64_MAX || record->fd < 0 || !is_site(evaluation, record->site)) continue;
    EvaluatedExecLeak& exec_leak = exec_leaks[kept++];
    exec_leak = {index, find_suppression(input, evaluation, record->site), count};
    evaluation.use(input.suppressions, exec_leak.suppression, count);
  }
  evaluation.exec_leaks = exec_leaks.first(kept);
  Totals& totals = evaluation.of(Subject::exec);
  for (EvaluatedExecLeak& exec_leak : evaluation.exec_leaks) {
    if (!evaluation.use(input.suppressions, exec_leak.suppression, 0)) exec_leak.suppression = kNoIndex;
    totals[Counter::live] += exec_leak.count;
    if (exec_leak.suppression != kNoIndex) totals[Counter::suppressed] += exec_leak.count;
  }
}

}  // namespace

void evaluate_misuse(const ReportInput& input, base::Arena& arena, Evaluation& evaluation) {
  evaluate_misuses(input, arena, evaluation);
  evaluate_exec_leaks(input, arena, evaluation);
  evaluation.short_of_memory |= arena.short_of_memory();
}

}  // namespace unfreed::report
