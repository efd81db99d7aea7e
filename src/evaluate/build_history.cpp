// What was live at a site at earlier times, as its process recorded it (ledger/history.h).
#include <algorithm>

#include "evaluate/build.h"

namespace unfreed::report {

Histories read_histories(Build& build) {
  Histories known;
  std::span<const ledger::SiteHistory*> all =
      build.arena.take_array<const ledger::SiteHistory*>(build.view().history_count());
  size_t count = 0;
  for (uint32_t at = 0; at < all.size(); ++at)
    if (const ledger::SiteHistory* one = build.view().history(at)) all[count++] = one;
  known.by_site = all.first(count);
  std::sort(known.by_site.begin(), known.by_site.end(),
            [](const ledger::SiteHistory* left, const ledger::SiteHistory* right) {
              return left->site.load(std::memory_order_relaxed) < right->site.load(std::memory_order_relaxed);
            });
  return known;
}

void build_history(Build& build, const Histories& known, const ledger::Site& record, Site& out) {
  auto before = [](const ledger::SiteHistory* one, uint64_t id) {
    return one->site.load(std::memory_order_relaxed) < id;
  };
  auto found = std::lower_bound(known.by_site.begin(), known.by_site.end(), out.id, before);
  if (found == known.by_site.end() || (*found)->site.load(std::memory_order_relaxed) != out.id) return;
  bool is_heap = out.kind == ledger::Kind::heap;
  auto add = [&](uint64_t at_ns, uint64_t live, std::optional<uint64_t> bytes) {
    out.history.add(build.arena, PastCount{build.age_ns(at_ns), live, bytes});
  };
  uint64_t started = build.view().header().started_monotonic_ns;
  if (record.first_ns) add(std::max(record.first_ns, started), 0, is_heap ? std::optional<uint64_t>(0) : std::nullopt);
  uint64_t low_age = record.peak_then.load(std::memory_order_relaxed);
  if (is_heap && low_age)
    add(started + (low_age << ledger::kLowUnitShift), record.live_then.load(std::memory_order_relaxed), {});
  for (const ledger::HistorySample& sample : (*found)->samples) {
    uint64_t at_ns = sample.at_ns.load(std::memory_order_acquire);
    uint64_t live = sample.live.load(std::memory_order_relaxed), bytes = sample.bytes.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (!at_ns || sample.at_ns.load(std::memory_order_relaxed) != at_ns) continue;
    add(at_ns, live, is_heap ? std::optional<uint64_t>(bytes) : std::nullopt);
  }
  if (out.history.size() > 1)
    std::sort(&out.history[0], &out.history[0] + out.history.size(),
              [](const PastCount& left, const PastCount& right) { return left.ago_ns > right.ago_ns; });
}

}  // namespace unfreed::report
