#include "render/ages.h"

#include <fmt/format.h>

#include <algorithm>

#include "evaluate/places.h"
#include "render/quantities.h"

namespace unfreed::render {

namespace {

/// Of all sites of a place.
report::AgeSummary summarize(const Place& place) {
  std::vector<report::AgeGroup> ages;
  for (uint32_t index : place.sites)
    for (const report::AgeGroup& one : place.report->sites[index].ages) ages.push_back(one);
  std::sort(ages.begin(), ages.end(), [](const auto& left, const auto& right) { return left.age_ns > right.age_ns; });
  return report::summarize(ages);
}

void keep_older(report::Site& site, uint64_t age_ns) {
  bool all_are_listed = !site.objects.empty() && !site.objects_omitted;
  uint64_t live = 0, bytes = 0, live_before = site.live;
  uint32_t kept = 0;
  for (; kept < site.ages.size() && site.ages[kept].age_ns >= age_ns; ++kept) {
    live += site.ages[kept].live;
    bytes += site.ages[kept].bytes;
  }
  site.ages.shrink(kept);
  site.take_ages();
  uint32_t objects = 0;
  for (const report::Object& one : site.objects)
    if (one.age_ns.value_or(0) >= age_ns) site.objects[objects++] = one;
  site.objects.shrink(objects);
  site.objects_omitted = live > objects ? live - objects : 0;
  if (site.kind == ledger::Kind::heap) site.objects_omitted = 0;
  // Which of them are lost is not known by age.
  auto limit = [](uint64_t& number, uint64_t most) { number = std::min(number, most); };
  for (uint64_t* number : {&site.lost, &site.indirectly_lost, &site.possibly_lost}) limit(*number, live);
  for (uint64_t* number : {&site.lost_bytes, &site.indirectly_lost_bytes, &site.possibly_lost_bytes})
    limit(*number, bytes);
  site.live = live;
  site.bytes = bytes;
  site.running = 0;
  site.take_tests(all_are_listed, live_before);
}

}  // namespace

std::string describe_ages(const Place& place) {
  constexpr uint64_t kWorthSaying = 1'000'000'000;
  report::AgeSummary ages = summarize(place);
  if (ages.oldest_ns < kWorthSaying) return {};
  std::string oldest = write_duration(ages.oldest_ns), median = write_duration(ages.median_ns);
  return oldest == median ? fmt::format(", {} old", oldest) : fmt::format(", up to {} old (median {})", oldest, median);
}

void keep_older(report::Report& report, base::Arena& arena, uint64_t age_ns, std::string_view age) {
  uint32_t kept = 0;
  uint64_t unknown = 0;
  for (report::Site& site : report.sites) {
    unknown += site.ages.empty() && site.live && site.counts();
    keep_older(site, age_ns);
    if (site.live) report.sites[kept++] = site;
  }
  report.sites.shrink(kept);
  report.descriptors.clear();
  report.descriptors_omitted = 0;
  report::group_places(report, arena);
  report.notes.add(arena, arena.copy(fmt::format("of call sites only what has been held for {} is listed; totals and "
                                                 "rules are of all",
                                                 age)));
  if (unknown)
    report.notes.add(arena,
                     arena.copy(fmt::format("{} left out, as the age of what they hold is not known",
                                            write_number_of(unknown, "stack") + (unknown == 1 ? " is" : " are"))));
}

}  // namespace unfreed::render
