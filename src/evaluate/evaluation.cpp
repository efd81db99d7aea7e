#include "evaluate/evaluation.h"

#include <algorithm>
#include <cstring>

namespace unfreed::report {

namespace {

using ledger::Kind;

constexpr size_t kMaxFunctions = 1024;

uint64_t at_least(uint64_t value, uint64_t floor) { return value < floor ? floor : value; }

void read_functions(const ledger::View& view, base::Arena& arena, Evaluation& out) {
  uint32_t count = view.header().hook_count;
  out.functions = arena.take_array<std::string_view>(count < kMaxFunctions ? count : kMaxFunctions);
  for (std::string_view& function : out.functions) function = "?";
  size_t at = 0;
  view.each_text(view.header().hook_names, static_cast<uint32_t>(out.functions.size()), [&](std::string_view name) {
    if (!name.empty()) out.functions[at] = name;
    ++at;
  });
}

/// All but heap blocks are counted one by one, from their tables.
bool is_counted_singly(Kind kind) { return kind != Kind::heap; }

void read_sites(base::Arena& arena, Evaluation& out) {
  const ledger::View& view = *out.view;
  std::span<ledger::Counts> counts = arena.take_array<ledger::Counts>(view.site_count());
  out.sites = arena.take_zeroed_array<EvaluatedSite>(counts.size());
  out.settled = view.sum_counts(counts);
  for (size_t index = 1; index < out.sites.size(); ++index) {
    const ledger::Site* site = view.site(static_cast<uint32_t>(index));
    if (!site || site->kind >= ledger::kKindCount) continue;
    const ledger::Counts& sum = counts[index];
    // A fork child has all its parent's sites.
    if (!is_counted_singly(static_cast<Kind>(site->kind)) && sum.acquired == 0) continue;
    EvaluatedSite& evaluation = out.sites[index];
    evaluation.suppression = kNoIndex;
    evaluation.exceeds = kNoIndex;
    evaluation.valid = true;
    evaluation.kind = static_cast<Kind>(site->kind);
    evaluation.libc = site->flags & ledger::kSiteLibc;
    evaluation.overflow = site->flags & ledger::kSiteOverflow;
    evaluation.total = sum.acquired;
    evaluation.total_bytes = sum.acquired_bytes;
    evaluation.peak = site->peak.load(std::memory_order_relaxed);
    if (is_counted_singly(evaluation.kind)) {
      const ledger::KindTotals& totals = view.header().totals[site->kind];
      bool has_changed = site->peak_then.load(std::memory_order_relaxed) ==
                         static_cast<uint32_t>(totals.peak.load(std::memory_order_relaxed));
      // Releases are read first, so that they cannot be more than acquisitions.
      evaluation.at_peak = has_changed ? site->live_then.load(std::memory_order_relaxed) : sum.acquired - sum.released;
      continue;
    }
    evaluation.live = sum.acquired - sum.released;
    evaluation.bytes = sum.acquired_bytes - sum.released_bytes;
  }
}

/// The square root of a variance that a ledger holds as the bits of a double, rounded; 0 where that is no number.
uint64_t standard_error(uint64_t bits) {
  double variance;
  std::memcpy(&variance, &bits, sizeof variance);
  if (!(variance > 0 && variance < 1e36)) return 0;
  double root = variance < 1 ? 1 : variance;
  for (int i = 0; i < 128; ++i) root = (root + variance / root) / 2;  // Newton's: there is no libm here
  return static_cast<uint64_t>(root + 0.5);
}

void total_heap(Evaluation& out) {
  Totals& heap = out.of(Subject::heap);
  for (const EvaluatedSite& site : out.sites) {
    if (!site.valid || site.kind != Kind::heap) continue;
    heap[Counter::total] += site.total;
    heap[Counter::total_bytes] += site.total_bytes;
    heap[site.libc ? Counter::libc : Counter::live] += site.live;
    heap[site.libc ? Counter::libc_bytes : Counter::bytes] += site.bytes;
  }
  const ledger::Header& header = out.view->header();
  heap[Counter::foreign_released] =
      header.totals[static_cast<size_t>(Kind::heap)].foreign_released.load(std::memory_order_relaxed);
  heap[Counter::sample_bytes] = header.sample_bytes;
  heap[Counter::live_error] = standard_error(header.sample_variance_blocks.load(std::memory_order_relaxed));
  heap[Counter::bytes_error] = standard_error(header.sample_variance_bytes.load(std::memory_order_relaxed));
}

/// Totals of kinds that are counted in the header as well: at least what was counted one by one.
void total_counted(Evaluation& out) {
  uint64_t site_totals[ledger::kKindCount] = {};
  for (EvaluatedSite& site : out.sites) {
    if (!site.valid || !is_counted_singly(site.kind)) continue;
    site.total = at_least(site.total, site.live + site.running);
    site.peak = at_least(site.peak, site.live);
    site_totals[static_cast<size_t>(site.kind)] += site.total;
  }
  for (size_t index = 0; index < ledger::kKindCount; ++index) {
    auto kind = static_cast<Kind>(index);
    if (!is_counted_singly(kind)) continue;
    const ledger::KindTotals& counted = out.view->header().totals[index];
    Totals& totals = out.of(subject_of(kind));
    totals[Counter::total] = at_least(counted.acquired.load(std::memory_order_relaxed), site_totals[index]);
    totals[Counter::peak] =
        at_least(counted.peak.load(std::memory_order_relaxed), totals[Counter::live] + totals[Counter::running]);
  }
}

/// Descriptors that a process released while it cleaned up at its end. Reports list what it held before that.
bool held_much(const EvaluatedSite& site) {
  constexpr uint64_t kMuch = 8;
  return site.kind == Kind::fd && site.at_peak >= kMuch;
}

/// Sites that count before those that do not; kinds that are not held for good before memory and libraries.
int rank(const EvaluatedSite& site) {
  if (site.live == 0 && site.running == 0 && site.closed_by_gc == 0) return 5;
  if (site.libc) return 4;
  if (site.is_suppressed()) return 3;
  if (site.live == 0 && site.closed_by_gc == 0) return 2;
  return is_news(site.kind) || site.lost ? 0 : 1;
}

bool is_worse(const EvaluatedSite& left, const EvaluatedSite& right, uint32_t left_index, uint32_t right_index) {
  int left_rank = rank(left);
  int right_rank = rank(right);
  if (left_rank != right_rank) return left_rank < right_rank;
  if (left.lost_bytes != right.lost_bytes) return left.lost_bytes > right.lost_bytes;
  if (left.bytes != right.bytes) return left.bytes > right.bytes;
  uint64_t left_count = left.live + left.closed_by_gc, right_count = right.live + right.closed_by_gc;
  if (left_count != right_count) return left_count > right_count;
  if (left.running != right.running) return left.running > right.running;
  if (left.total != right.total) return left.total > right.total;
  return left_index < right_index;
}

}  // namespace

ledger::Coverage coverage_of(const ledger::View& view, Kind kind) {
  auto index = static_cast<size_t>(kind);
  if (!(view.header().kinds_tracked & 1u << index)) return ledger::Coverage::off;
  auto coverage = static_cast<ledger::Coverage>(view.header().coverage[index]);
  return coverage <= ledger::Coverage::unavailable ? coverage : ledger::Coverage::partial;
}

void evaluate_ledger(const ledger::View& view, base::Arena& arena, Evaluation& out) {
  out = Evaluation{};
  out.view = &view;
  uint32_t flags = view.header().flags.load(std::memory_order_acquire);
  out.reconciled = flags & ledger::kHeaderFlagReconciled;
  out.threads_listed = flags & ledger::kHeaderFlagThreadsListed;
  out.children_listed = flags & ledger::kHeaderFlagChildrenListed;
  out.graded = view.header().grading.load(std::memory_order_acquire) == static_cast<uint32_t>(ledger::Grading::done);
  read_functions(view, arena, out);
  read_sites(arena, out);
  evaluate_fds(arena, out);
  evaluate_threads(arena, out);
  evaluate_children(arena, out);
  evaluate_handles(arena, out);
  evaluate_holdings(arena, out);
  evaluate_grades(out);
  total_heap(out);
  total_counted(out);
  out.short_of_memory = arena.short_of_memory();
}

void order_sites(bool all_sites, base::Arena& arena, Evaluation& evaluation) {
  std::span<uint32_t> indexes = arena.take_array<uint32_t>(evaluation.sites.size());
  size_t count = 0;
  for (uint32_t index = 0; index < evaluation.sites.size() && count < indexes.size(); ++index) {
    const EvaluatedSite& site = evaluation.sites[index];
    bool holds = (site.live > 0 || site.running > 0 || site.closed_by_gc > 0 || held_much(site)) && !site.libc;
    // A site that acquired nothing is that of a close.
    if (site.valid && (holds || (all_sites && site.total > 0))) indexes[count++] = index;
  }
  evaluation.listed = indexes.first(count);
  std::sort(evaluation.listed.begin(), evaluation.listed.end(), [&](uint32_t left, uint32_t right) {
    return is_worse(evaluation.sites[left], evaluation.sites[right], left, right);
  });
  evaluation.short_of_memory |= arena.short_of_memory();
}

}  // namespace unfreed::report
