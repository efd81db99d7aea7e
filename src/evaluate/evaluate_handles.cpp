#include <algorithm>

#include "evaluate/evaluation.h"

namespace unfreed::report {

namespace {

bool read_handle(const Evaluation& evaluation, uint32_t index, EvaluatedHandle& out) {
  const ledger::HandleRecord* record = evaluation.view->handle(index);
  uint64_t word = record ? record->word.load(std::memory_order_acquire) : 0;
  ledger::Kind kind = ledger::handle_kind(word);
  if (!word || static_cast<size_t>(kind) >= ledger::kKindCount || !is_handle_kind(kind)) return false;
  out = {};
  out.record = index;
  out.kind = kind;
  out.serial = ledger::handle_serial(word);
  out.bytes = record->bytes;
  out.ignored = record->flags & ledger::kHandleIgnored;
  uint32_t site = ledger::handle_site(word);
  bool known = site < evaluation.sites.size() && evaluation.sites[site].valid && evaluation.sites[site].kind == kind;
  out.site = known && !out.ignored ? site : 0;
  return true;
}

void total(Evaluation& evaluation) {
  for (const EvaluatedHandle& handle : evaluation.handles) {
    Totals& totals = evaluation.of(subject_of(handle.kind));
    if (handle.ignored) {
      ++totals[Counter::ignored];
    } else if (handle.site == 0 || !evaluation.sites[handle.site].libc) {
      ++totals[Counter::live];
      totals[Counter::bytes] += handle.bytes;
    }
  }
}

}  // namespace

void evaluate_handles(base::Arena& arena, Evaluation& evaluation) {
  std::span<EvaluatedHandle> handles = arena.take_array<EvaluatedHandle>(evaluation.view->handle_count());
  size_t count = 0;
  for (uint32_t index = 0; index < handles.size(); ++index)
    if (read_handle(evaluation, index, handles[count])) ++count;
  evaluation.handles = handles.first(count);
  total(evaluation);
  std::sort(evaluation.handles.begin(), evaluation.handles.end(),
            [](const EvaluatedHandle& left, const EvaluatedHandle& right) {
              return left.site != right.site ? left.site < right.site : left.serial < right.serial;
            });
  for (uint32_t index = 0; index < evaluation.handles.size(); ++index) {
    const EvaluatedHandle& handle = evaluation.handles[index];
    if (handle.site == 0) continue;
    EvaluatedSite& site = evaluation.sites[handle.site];
    if (site.objects++ == 0) site.first_object = index;
    ++site.live;
    site.bytes += handle.bytes;
  }
}

}  // namespace unfreed::report
