#include "report/graded.h"

#include <algorithm>
#include <cstring>

namespace unfreed::report {

namespace {

using ledger::Kind;

constexpr size_t kMaxDoors = 1024;

uint64_t at_least(uint64_t value, uint64_t floor) { return value < floor ? floor : value; }

void read_doors(const ledger::View& view, Scratch& scratch, Graded& out) {
  size_t count = view.header().door_count;
  out.doors = scratch.take<std::string_view>(count < kMaxDoors ? count : kMaxDoors);
  ledger::StringRef ref = view.header().door_names;
  for (std::string_view& door : out.doors) {
    std::string_view name = ref < view.text_bytes() ? view.text(ref) : std::string_view();
    door = name.empty() ? std::string_view("?") : name;
    ref += static_cast<ledger::StringRef>(name.size()) + 1;
  }
}

/// Descriptors, threads and children are counted one by one, from their tables.
bool is_counted_singly(Kind kind) { return kind == Kind::fd || kind == Kind::thread || kind == Kind::child; }

void read_sites(Scratch& scratch, Graded& out) {
  const ledger::View& view = *out.view;
  std::span<ledger::Counts> counts = scratch.take<ledger::Counts>(view.site_count());
  out.sites = scratch.take<GradedSite>(counts.size());
  out.settled = view.sum_counts(counts);
  for (size_t index = 0; index < out.sites.size(); ++index) {
    GradedSite& graded = out.sites[index];
    graded = GradedSite{};
    graded.suppression = kNoIndex;
    const ledger::Site* site = index == 0 ? nullptr : view.site(static_cast<uint32_t>(index));
    if (!site || site->kind >= ledger::kKindCount) continue;
    const ledger::Counts& sum = counts[index];
    graded.valid = true;
    graded.kind = static_cast<Kind>(site->kind);
    graded.libc = site->flags & ledger::kSiteLibc;
    graded.total = sum.acquired;
    graded.total_bytes = sum.acquired_bytes;
    graded.peak = site->peak.load(std::memory_order_relaxed);
    if (is_counted_singly(graded.kind)) continue;
    graded.live = sum.acquired - sum.released;
    graded.bytes = sum.acquired_bytes - sum.released_bytes;
  }
}

/// The square root of a variance that a ledger holds as the bits of a double, rounded; 0 where that is no number.
uint64_t standard_error(uint64_t bits) {
  double variance;
  std::memcpy(&variance, &bits, sizeof variance);
  if (!(variance > 0 && variance < 1e36)) return 0;
  double root = variance < 1 ? 1 : variance;
  for (int i = 0; i < 128; ++i) {  // Newton's: there is no libm here
    double next = (root + variance / root) / 2;
    if (next >= root) break;
    root = next;
  }
  return static_cast<uint64_t>(root + 0.5);
}

void total_heap(Graded& out) {
  HeapTotals& heap = out.heap;
  for (const GradedSite& site : out.sites) {
    if (!site.valid || site.kind != Kind::heap) continue;
    heap.total += site.total;
    heap.total_bytes += site.total_bytes;
    (site.libc ? heap.libc : heap.live) += site.live;
    (site.libc ? heap.libc_bytes : heap.bytes) += site.bytes;
  }
  heap.foreign_released =
      out.view->header().totals[static_cast<size_t>(Kind::heap)].foreign_released.load(std::memory_order_relaxed);
  const ledger::Header& header = out.view->header();
  heap.sample_bytes = header.sample_bytes;
  heap.live_error = standard_error(header.sample_variance_blocks.load(std::memory_order_relaxed));
  heap.bytes_error = standard_error(header.sample_variance_bytes.load(std::memory_order_relaxed));
}

/// Totals of kinds that are counted in the header as well: what was counted one by one is a floor.
void total_counted(Graded& out) {
  uint64_t site_totals[ledger::kKindCount] = {};
  for (GradedSite& site : out.sites) {
    if (!site.valid || !is_counted_singly(site.kind)) continue;
    site.total = at_least(site.total, site.live + site.running);
    site.peak = at_least(site.peak, site.live);
    site_totals[static_cast<size_t>(site.kind)] += site.total;
  }
  auto total = [&](Kind kind) {
    auto index = static_cast<size_t>(kind);
    return at_least(out.view->header().totals[index].acquired.load(std::memory_order_relaxed), site_totals[index]);
  };
  auto peak = [&](Kind kind) {
    return out.view->header().totals[static_cast<size_t>(kind)].peak.load(std::memory_order_relaxed);
  };
  out.fd.total = total(Kind::fd);
  out.fd.peak = at_least(peak(Kind::fd), out.fd.live);
  out.child.total = total(Kind::child);
  out.child.peak = at_least(peak(Kind::child), out.child.live + out.child.running);
  out.thread.total = total(Kind::thread);
  out.thread.peak = at_least(peak(Kind::thread), out.thread.live + out.thread.running);
}

/// Sites that count before those that do not; descriptors and threads, which are never held for good, before memory.
int rank(const GradedSite& site) {
  if (site.live == 0 && site.running == 0) return 5;
  if (site.libc) return 4;
  if (site.is_suppressed()) return 3;
  if (site.live == 0) return 2;
  return site.kind == Kind::heap || site.kind == Kind::mapping ? 1 : 0;
}

bool is_worse(const GradedSite& left, const GradedSite& right, uint32_t left_index, uint32_t right_index) {
  int left_rank = rank(left);
  int right_rank = rank(right);
  if (left_rank != right_rank) return left_rank < right_rank;
  if (left.bytes != right.bytes) return left.bytes > right.bytes;
  if (left.live != right.live) return left.live > right.live;
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

size_t graded_bytes(const ledger::View& view) {
  constexpr size_t kSiteBytes = sizeof(ledger::Counts) + sizeof(GradedSite) + sizeof(uint32_t);
  constexpr size_t kKernelFdBytes = sizeof(GradedFd) + sizeof(uint64_t);
  return with_room_to_grow(view.site_count()) * kSiteBytes + with_room_to_grow(view.fd_count()) * sizeof(GradedFd) +
         with_room_to_grow(view.kernel_fd_count()) * kKernelFdBytes +
         with_room_to_grow(size_t{view.thread_count()} + view.kernel_task_count()) * sizeof(GradedThread) +
         with_room_to_grow(size_t{view.child_count()} + view.kernel_task_count()) * sizeof(GradedChild) +
         with_room_to_grow(view.kernel_task_count()) * 2 * sizeof(ListedTask) +
         with_room_to_grow(size_t{view.fd_count()} + view.kernel_fd_count() + view.thread_count() +
                           view.kernel_task_count()) *
             sizeof(uint32_t) +
         with_room_to_grow(view.misuse_count()) * sizeof(GradedMisuse) +
         with_room_to_grow(view.crossing_count()) * sizeof(GradedCrossing) + kMaxDoors * sizeof(std::string_view) + 256;
}

void grade(const ledger::View& view, Scratch& scratch, Graded& out) {
  out = Graded{};
  out.view = &view;
  uint32_t flags = view.header().flags.load(std::memory_order_acquire);
  out.reconciled = flags & ledger::kHeaderFlagReconciled;
  out.threads_listed = flags & ledger::kHeaderFlagThreadsListed;
  out.children_listed = flags & ledger::kHeaderFlagChildrenListed;
  read_doors(view, scratch, out);
  read_sites(scratch, out);
  grade_fds(scratch, out);
  grade_threads(scratch, out);
  grade_children(scratch, out);
  grade_holdings(scratch, out);
  total_heap(out);
  total_counted(out);
  out.short_of_memory = scratch.short_of_memory();
}

void order_sites(bool all_sites, Scratch& scratch, Graded& graded) {
  std::span<uint32_t> indexes = scratch.take<uint32_t>(graded.sites.size());
  size_t count = 0;
  for (uint32_t index = 0; index < graded.sites.size() && count < indexes.size(); ++index) {
    const GradedSite& site = graded.sites[index];
    bool holds = (site.live > 0 || site.running > 0) && !site.libc;
    // A site that took nothing is one that closes.
    if (site.valid && (holds || (all_sites && site.total > 0))) indexes[count++] = index;
  }
  graded.listed = indexes.first(count);
  std::sort(graded.listed.begin(), graded.listed.end(), [&](uint32_t left, uint32_t right) {
    return is_worse(graded.sites[left], graded.sites[right], left, right);
  });
  graded.short_of_memory |= scratch.short_of_memory();
}

}  // namespace unfreed::report
