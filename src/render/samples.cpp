#include "render/samples.h"

#include <algorithm>
#include <map>

namespace unfreed::render {

using report::Counter;
using report::Object;
using report::Report;
using report::Site;
using report::Totals;

namespace {

/// Peaks of two call sites do not add up: they may have been at different times.
bool adds_up(Counter counter) { return counter != Counter::peak && counter != Counter::growth; }

bool has(const report::CounterRow& row, ledger::Kind kind) {
  return row.in_site_rules & report::bit_of(report::subject_of(kind));
}

/// What an object contributes to its site's numbers.
Totals numbers_of(const Object& object) {
  Totals numbers;
  bool is_running = object.state == "running";
  if (object.state == "unknown") return numbers;  // it is in no count of what is held
  numbers[is_running ? Counter::running : Counter::live] = 1;
  if (object.bytes) numbers[Counter::bytes] = *object.bytes;
  if (object.lost) numbers[Counter::lost] = 1;
  return numbers;
}

/// The part of a site that no object explains. False: the objects are more than the site says it holds.
bool subtract(Totals& rest, const Totals& part) {
  constexpr Counter kCounters[] = {Counter::live, Counter::running, Counter::bytes, Counter::lost};
  for (Counter counter : kCounters)
    if (part[counter] > rest[counter]) return false;
  for (Counter counter : kCounters) rest[counter] -= part[counter];
  return true;
}

void add_site(const Report& report, const Site& site, std::vector<Sample>& samples) {
  Sample rest{&report, &site, site.kind, {}, 0, {}, {}, false};
  for (size_t at = 0; at < report::kCounterCount; ++at)
    if (auto counter = static_cast<Counter>(at); has(report::kRows[at], site.kind) && adds_up(counter))
      rest.values[counter] = site.value(counter);
  std::map<std::pair<int64_t, report::Text>, Sample> parts;
  for (const Object& object : site.objects) {
    Totals numbers = numbers_of(object);
    if (!subtract(rest.values, numbers)) break;
    report::Text target = object.target.empty() ? object.name : object.target;
    auto [part, is_new] = parts.try_emplace({object.thread.value_or(0), target});
    if (is_new) part->second = {&report, &site, site.kind, {}, object.thread.value_or(0), target, {}, false};
    for (Counter counter : {Counter::live, Counter::running, Counter::bytes, Counter::lost})
      part->second.values[counter] += numbers[counter];
  }
  for (auto& [key, part] : parts) samples.push_back(part);
  samples.push_back(rest);
}

}  // namespace

std::vector<Sample> list_samples(const Report& report) {
  std::vector<Sample> samples;
  for (const Site& site : report.sites)
    if (site.counts()) add_site(report, site, samples);
  for (const report::Descriptor& one : report.descriptors) {
    if (one.origin != "unattributed") continue;
    Sample sample{&report, nullptr, ledger::Kind::fd, {}, 0, one.target, {}, false};
    sample.values[Counter::live] = 1;
    samples.push_back(sample);
  }
  std::erase_if(samples, [](const Sample& sample) {
    for (size_t at = 0; at < report::kCounterCount; ++at)
      if (sample.values[static_cast<Counter>(at)]) return false;
    return true;
  });
  return samples;
}

std::vector<Sample> list_samples_by_test(const Report& report) {
  std::vector<Sample> samples;
  for (const Site& site : report.sites) {
    if (!site.counts()) continue;
    report::TestShare rest{{}, site.live, site.running, site.bytes};
    auto add = [&](const report::TestShare& share, bool is_of_other_tests) {
      if (!share.count()) return;
      Sample& sample = samples.emplace_back();
      sample = {&report, &site, site.kind, {}, 0, {}, share.test, is_of_other_tests};
      sample.values[Counter::live] = share.live;
      sample.values[Counter::running] = share.running;
      sample.values[Counter::bytes] = share.bytes;
    };
    auto take = [&](const report::TestShare& share, bool is_of_other_tests) {
      add(share, is_of_other_tests);
      rest.live -= std::min(rest.live, share.live);
      rest.running -= std::min(rest.running, share.running);
      rest.bytes -= std::min(rest.bytes, share.bytes);
    };
    for (const report::TestShare& one : site.tests) take(one, false);
    if (site.other_tests) take(*site.other_tests, true);
    add(rest, false);
  }
  return samples;
}

std::vector<Measure> list_measures(Reports reports) {
  std::vector<Measure> measures;
  for (size_t kind = 0; kind < ledger::kKindCount; ++kind) {
    bool is_there = std::any_of(reports.begin(), reports.end(), [&](const Report* report) {
      return report->totals_of(static_cast<report::Subject>(kind)) != nullptr;
    });
    if (!is_there) continue;
    for (size_t at = 0; at < report::kCounterCount; ++at)
      if (has(report::kRows[at], static_cast<ledger::Kind>(kind)) && adds_up(static_cast<Counter>(at)))
        measures.push_back({static_cast<ledger::Kind>(kind), static_cast<Counter>(at)});
  }
  return measures;
}

std::string name_of(Measure measure) {
  std::string name(report::kind_name(measure.kind));
  if (measure.counter != Counter::live) name.append(".").append(report::row_of(measure.counter).name);
  return name;
}

bool is_bytes(Counter counter) { return report::row_of(counter).name.ends_with("bytes"); }

Measure first_measure(Reports reports) {
  auto any = [&](ledger::Kind kind, Counter counter) {
    return std::any_of(reports.begin(), reports.end(), [&](const Report* report) {
      const Totals* totals = report->totals_of(report::subject_of(kind));
      return totals && totals->counted(counter) > 0;
    });
  };
  if (any(ledger::Kind::heap, Counter::lost)) return {ledger::Kind::heap, Counter::lost_bytes};
  for (size_t at = 0; at < ledger::kKindCount; ++at)
    if (auto kind = static_cast<ledger::Kind>(at); report::is_news(kind) && any(kind, Counter::live))
      return {kind, Counter::live};
  if (any(ledger::Kind::heap, Counter::live)) return {ledger::Kind::heap, Counter::bytes};
  std::vector<Measure> all = list_measures(reports);
  return all.empty() ? Measure{} : all[0];
}

bool parse_measure(std::string_view text, Measure& out) {
  for (size_t kind = 0; kind < ledger::kKindCount; ++kind)
    for (size_t at = 0; at < report::kCounterCount; ++at) {
      Measure one{static_cast<ledger::Kind>(kind), static_cast<Counter>(at)};
      if (!has(report::kRows[at], one.kind) || !adds_up(one.counter) || name_of(one) != text) continue;
      out = one;
      return true;
    }
  return false;
}

}  // namespace unfreed::render
