#include "render/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "render/quantities.h"

namespace unfreed::render {

namespace {

constexpr size_t kMostPerList = 10;

std::map<std::string, MergedSite> by_key(const Report& report) {
  std::map<std::string, MergedSite> sites;
  for (MergedSite& one : merge_by_signature(report)) {
    if (!counts(one.site)) continue;
    std::string key = one.site.kind + '\n' + one.site.acquired_by + '\n' + one.site.signature;
    // What has no signature cannot be found again: it is matched by nothing but its number.
    if (one.site.signature.empty()) key += one.site.id;
    sites.emplace(std::move(key), std::move(one));
  }
  return sites;
}

uint64_t distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

void sort_by_size(std::vector<Change>& changes) {
  auto size = [](const Change& one) {
    return std::pair(distance(one.site.site.live, one.old_live), distance(one.site.site.bytes, one.old_bytes));
  };
  std::stable_sort(changes.begin(), changes.end(), [&](const Change& a, const Change& b) { return size(a) > size(b); });
}

void render_list(const char* title, const std::vector<Change>& changes, bool has_old, const std::string& exe,
                 const TextOptions& options, std::string& out) {
  if (changes.empty()) return;
  out += fmt::format("\n{} ({})\n", title, write_number_of(changes.size(), "place"));
  for (size_t at = 0; at < std::min(changes.size(), kMostPerList); ++at) {
    const Change& change = changes[at];
    if (has_old) {
      out += fmt::format("  {} -> {}", write_count(change.old_live), write_count(change.site.site.live));
      if (change.site.site.kind == "heap")
        out += fmt::format(" ({} -> {})", write_bytes(change.old_bytes), write_bytes(change.site.site.bytes));
      out += '\n';
    }
    out += render_site(change.site, exe, options, "  ");
  }
  if (changes.size() > kMostPerList)
    out += fmt::format("  and {} more\n", write_number_of(changes.size() - kMostPerList, "place"));
}

}  // namespace

Difference compare(const Report& older, const Report& newer) {
  Difference difference;
  std::map<std::string, MergedSite> before = by_key(older);
  for (auto& [key, site] : by_key(newer)) {
    auto match = before.find(key);
    if (match == before.end()) {
      difference.appeared.push_back({site, 0, 0});
      continue;
    }
    Change change{site, match->second.site.live, match->second.site.bytes};
    before.erase(match);
    std::pair now(site.site.live, site.site.bytes);
    std::pair then(change.old_live, change.old_bytes);
    if (now > then)
      difference.grew.push_back(change);
    else if (now < then)
      difference.shrank.push_back(change);
  }
  for (auto& [key, site] : before) difference.gone.push_back({site, site.site.live, site.site.bytes});
  for (Change& change : difference.gone) change.old_live = change.old_bytes = 0;  // sorted by what has gone
  for (auto* list : {&difference.appeared, &difference.grew, &difference.shrank, &difference.gone}) sort_by_size(*list);
  return difference;
}

std::string render_difference(const Report& older, const Report& newer, const Difference& difference,
                              const TextOptions& options) {
  std::string text =
      fmt::format("unfreed: {} -> {}\n", describe_process(older.process), describe_process(newer.process));
  for (const KindTotals& totals : newer.totals) {
    const KindTotals* old = older.totals_of(totals.kind);
    if (totals.is_of_deeds() && !totals.value("live") && !(old && old->value("live"))) continue;
    text += fmt::format("  {:<7} {} -> {} held", printable(totals.kind), old ? write_count(old->value("live")) : "?",
                        write_count(totals.value("live")));
    if (totals.kind == "heap")
      text +=
          fmt::format(", {} -> {}", old ? write_bytes(old->value("bytes")) : "?", write_bytes(totals.value("bytes")));
    text += '\n';
  }
  const std::string& exe = newer.process.exe;
  render_list("new", difference.appeared, false, exe, options, text);
  render_list("grew", difference.grew, true, exe, options, text);
  render_list("shrank", difference.shrank, true, exe, options, text);
  render_list("gone", difference.gone, false, older.process.exe, options, text);
  bool same = !difference.is_worse() && difference.shrank.empty() && difference.gone.empty();
  return same ? text + "\nno place differs\n" : text;
}

}  // namespace unfreed::render
