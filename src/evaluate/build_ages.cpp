// How long a site has held what it holds.
#include <algorithm>

#include "base/age_class.h"
#include "evaluate/build.h"

namespace unfreed::report {

namespace {

using ledger::Kind;

/// Adds to the ages of a site, the oldest first; those of one class become one group.
class AgeList {
 public:
  AgeList(Build& build, Site& out) : build_(build), out_(out) {}

  void add(const AgeGroup& one) {
    uint32_t age = base::age_class(one.age_ns);
    if (!out_.ages.empty() && age == class_) {
      AgeGroup& last = out_.ages[out_.ages.size() - 1];
      last.age_ns = std::max(last.age_ns, one.age_ns);
      last.at_least_ns = std::min(last.at_least_ns, one.at_least_ns);
      last.live += one.live;
      last.bytes += one.bytes;
    } else {
      out_.ages.add(build_.arena, one);
    }
    class_ = age;
  }
  /// A single one.
  void add(uint64_t since_ns, uint64_t bytes) {
    uint64_t age = build_.age_ns(since_ns);
    add({age, age, 1, bytes});
  }

 private:
  Build& build_;
  Site& out_;
  uint32_t class_ = 0;
};

void list_heap(Build& build, std::span<const ledger::HeapAge* const> known, Site& out, AgeList& ages) {
  uint64_t blocks_left = out.live, bytes_left = out.bytes;
  for (const ledger::HeapAge* one : known) {
    // Some may have been freed since.
    uint64_t blocks = std::min(one->blocks, blocks_left), bytes = std::min(one->bytes, bytes_left);
    blocks_left -= blocks;
    bytes_left -= bytes;
    if (blocks) ages.add({build.age_ns(one->born_from_ns), build.age_ns(one->born_to_ns), blocks, bytes});
  }
  uint64_t since = build.age_ns(build.view().header().graded_monotonic_ns);
  if (blocks_left) ages.add({since, 0, blocks_left, bytes_left});
}

void list_objects(Build& build, const EvaluatedSite& site, AgeList& ages) {
  for (uint32_t index = site.first_object; index < site.first_object + site.objects; ++index) {
    if (site.kind == Kind::fd) {
      ages.add(build.evaluation.fds[index].acquired_ns, 0);
    } else if (site.kind == Kind::thread) {
      const EvaluatedThread& thread = build.evaluation.threads[index];
      if (thread.finished) ages.add(thread.started_ns, 0);
    } else if (site.kind == Kind::child) {
      const EvaluatedChild& child = build.evaluation.children[index];
      if (child.child_class == ChildClass::zombie) ages.add(child.started_ns, 0);
    } else if (const auto* record = build.view().handle(build.evaluation.handles[index].record)) {
      ages.add(record->acquired_ns, build.evaluation.handles[index].bytes);
    }
  }
}

}  // namespace

HeapAges read_heap_ages(Build& build) {
  HeapAges known;
  if (!build.evaluation.graded) return known;
  std::span<const ledger::HeapAge*> all = build.arena.take_array<const ledger::HeapAge*>(build.view().heap_age_count());
  size_t count = 0;
  for (uint32_t at = 0; at < all.size(); ++at)
    if (const ledger::HeapAge* one = build.view().heap_age(at)) all[count++] = one;
  known.by_site = all.first(count);
  std::sort(known.by_site.begin(), known.by_site.end(), [](const ledger::HeapAge* left, const ledger::HeapAge* right) {
    return left->site != right->site ? left->site < right->site : left->born_from_ns < right->born_from_ns;
  });
  return known;
}

std::span<const ledger::HeapAge* const> HeapAges::of(uint64_t site) const {
  auto before = [](const ledger::HeapAge* one, uint64_t id) { return one->site < id; };
  auto after = [](uint64_t id, const ledger::HeapAge* one) { return id < one->site; };
  auto first = std::lower_bound(by_site.begin(), by_site.end(), site, before);
  return {first, std::upper_bound(first, by_site.end(), site, after)};
}

void build_ages(Build& build, const HeapAges& known, const EvaluatedSite& site, Site& out) {
  AgeList ages(build, out);
  if (site.kind == Kind::heap) {
    if (auto of_site = known.of(out.id); !of_site.empty()) list_heap(build, of_site, out, ages);
  } else {
    list_objects(build, site, ages);
  }
  out.take_ages();
}

}  // namespace unfreed::report
