#include "render/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "render/quantities.h"

namespace unfreed::render {

using report::Counter;
using report::Report;
using report::Totals;

namespace {

constexpr size_t kMostPerList = 10;

using Key = std::tuple<ledger::Kind, report::Text, uint64_t>;

std::map<Key, Place> by_key(const Report& report) {
  std::map<Key, Place> places;
  for (Place& one : list_places(report))
    if (one.counts() && one.live)
      places.emplace(Key{one.site->kind, one.site->acquired_by, one.site->signature}, std::move(one));
  return places;
}

uint64_t distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

void sort_by_size(std::vector<Change>& changes) {
  auto size = [](const Change& one) {
    return std::pair(distance(one.place.live, one.old_live), distance(one.place.bytes, one.old_bytes));
  };
  std::stable_sort(changes.begin(), changes.end(), [&](const Change& a, const Change& b) { return size(a) > size(b); });
}

void render_list(const char* title, const std::vector<Change>& changes, bool has_old, const TextOptions& options,
                 std::string& out) {
  if (changes.empty()) return;
  out += fmt::format("\n{} ({})\n", title, write_number_of(changes.size(), "call site"));
  for (size_t at = 0; at < std::min(changes.size(), kMostPerList); ++at) {
    const Change& change = changes[at];
    if (has_old) {
      out += fmt::format("  {} -> {}", write_count(change.old_live), write_count(change.place.live));
      if (change.place.site->kind == ledger::Kind::heap)
        out += fmt::format(" ({} -> {})", write_bytes(change.old_bytes), write_bytes(change.place.bytes));
      out += '\n';
    }
    out += render_place(change.place, options, "  ");
  }
  if (changes.size() > kMostPerList)
    out += fmt::format("  and {}\n", write_number_of(changes.size() - kMostPerList, "more call site"));
}

}  // namespace

Difference compare(const Report& older, const Report& newer) {
  Difference difference;
  std::map<Key, Place> before = by_key(older);
  for (auto& [key, place] : by_key(newer)) {
    auto match = before.find(key);
    if (match == before.end()) {
      difference.appeared.push_back({place, 0, 0});
      continue;
    }
    Change change{place, match->second.live, match->second.bytes};
    before.erase(match);
    std::pair now(place.live, place.bytes);
    std::pair then(change.old_live, change.old_bytes);
    if (now > then)
      difference.grew.push_back(change);
    else if (now < then)
      difference.shrank.push_back(change);
  }
  for (auto& [key, place] : before) difference.gone.push_back({place, place.live, place.bytes});
  for (Change& change : difference.gone) change.old_live = change.old_bytes = 0;  // sorted by what has gone
  for (auto* list : {&difference.appeared, &difference.grew, &difference.shrank, &difference.gone}) sort_by_size(*list);
  return difference;
}

std::string render_difference(const Report& older, const Report& newer, const Difference& difference,
                              const TextOptions& options) {
  std::string text =
      fmt::format("unfreed: {} -> {}\n", describe_process(older.process), describe_process(newer.process));
  for (size_t at = 0; at < report::kSubjectCount; ++at) {
    auto subject = static_cast<report::Subject>(at);
    const Totals* now = newer.totals_of(subject);
    const Totals* old = older.totals_of(subject);
    bool is_kind = at < ledger::kKindCount;
    if (!now || (!is_kind && !(*now)[Counter::live] && !(old && (*old)[Counter::live]))) continue;
    text += fmt::format("  {:<7} {} -> {} held", report::row_of(subject).name,
                        old ? write_count((*old)[Counter::live]) : "?", write_count((*now)[Counter::live]));
    if (report::row_of(Counter::bytes).in_totals & report::bit_of(subject))
      text += fmt::format(", {} -> {}", old ? write_bytes((*old)[Counter::bytes]) : "?",
                          write_bytes((*now)[Counter::bytes]));
    if ((*now)[Counter::lost] || (old && (*old)[Counter::lost]))
      text += fmt::format("; lost {} -> {}", old ? write_count((*old)[Counter::lost]) : "?",
                          write_count((*now)[Counter::lost]));
    text += '\n';
  }
  render_list("new", difference.appeared, false, options, text);
  render_list("grew", difference.grew, true, options, text);
  render_list("shrank", difference.shrank, true, options, text);
  render_list("gone", difference.gone, false, options, text);
  bool same = !difference.is_worse() && difference.shrank.empty() && difference.gone.empty();
  return same ? text + "\nno differences\n" : text;
}

}  // namespace unfreed::render
