#include "render/top_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

#include "render/paths.h"
#include "render/quantities.h"
#include "render/telling_frames.h"

namespace unfreed::render {

// ---- numbers ----

void Tally::look(uint64_t now_ns, uint64_t value, std::optional<uint64_t> before_ns) {
  constexpr uint64_t kRecentNs = 10'000'000'000;
  if (recent_.empty() && before_ns)
    recent_.push_back({*before_ns, 0});
  else if (recent_.empty())
    first_ = value;
  recent_.push_back({now_ns, value});
  while (recent_.size() > 2 && recent_[1].at_ns + kRecentNs <= now_ns) recent_.pop_front();
}

std::optional<double> Tally::per_second() const {
  if (recent_.size() < 2 || recent_.back().at_ns <= recent_.front().at_ns) return {};
  double change = static_cast<double>(recent_.back().value) - static_cast<double>(recent_.front().value);
  return change * 1e9 / static_cast<double>(recent_.back().at_ns - recent_.front().at_ns);
}

std::string write_held(uint64_t held, ledger::Kind kind) {
  return kind == ledger::Kind::heap ? write_bytes(held) : write_count(held);
}

std::string write_change(int64_t change, ledger::Kind kind) {
  if (!change) return {};
  return (change > 0 ? "+" : "-") + write_held(static_cast<uint64_t>(std::llabs(change)), kind);
}

std::string write_rate(std::optional<double> per_second, ledger::Kind kind) {
  if (!per_second || *per_second == 0) return {};
  const char* sign = *per_second > 0 ? "+" : "-";
  double size = std::abs(*per_second);
  const char* unit = "s";
  if (size < 1) {
    size *= 60;
    unit = "min";
  }
  std::string number = kind == ledger::Kind::heap ? write_bytes(static_cast<uint64_t>(std::llround(size)))
                       : size < 10                ? fmt::format("{:.2g}", size)
                                                  : write_count(static_cast<uint64_t>(std::llround(size)));
  return fmt::format("{}{}/{}", sign, number, unit);
}

// ---- processes ----

void TopProcesses::look(uint64_t now_ns, const std::vector<TopProcess>& processes, std::string_view kept) {
  constexpr uint64_t kShownNs = 30'000'000'000;
  std::set<std::string_view> running;
  for (const TopProcess& one : processes) {
    running.insert(one.key);
    TopProcessRow& row = rows_[one.key];
    row.last = one;
    row.ended_ns.reset();
    for (size_t kind = 0; kind < ledger::kKindCount; ++kind)
      if (one.held[kind]) row.kinds[kind].look(now_ns, *one.held[kind]);
  }
  for (auto& [key, row] : rows_)
    if (!running.contains(key) && !row.ended_ns) row.ended_ns = now_ns;
  std::erase_if(rows_, [&](const auto& entry) {
    const auto& [key, row] = entry;
    return row.ended_ns && key != kept && *row.ended_ns + kShownNs <= now_ns;
  });
}

std::vector<const TopProcessRow*> TopProcesses::rows() const {
  std::vector<const TopProcessRow*> rows;
  for (const auto& [key, row] : rows_) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto* left, const auto* right) { return left->last.pid < right->last.pid; });
  return rows;
}

const TopProcessRow* TopProcesses::find(std::string_view key) const {
  auto found = rows_.find(key);
  return found == rows_.end() ? nullptr : &found->second;
}

// ---- call sites ----

std::string key_of_site(const TopSiteRow& row) {
  const report::Site& site = *row.place.site;
  return fmt::format("{} {:x} {}", report::kind_name(site.kind), site.signature, site.suppressed_by);
}

void TopSites::add_to_series(uint64_t now_ns, uint64_t every_ns, uint64_t limit, const report::Report& report) {
  constexpr size_t kMostLooks = 600;
  // Growth is judged by looks that are about equally far apart.
  if (last_ns_ && now_ns > last_ns_ + 3 * every_ns) {
    series_ = {};
    stride_ = 1;
    skipped_ = 0;
  }
  if (!series_.times_ns.empty() && ++skipped_ < stride_) return;
  skipped_ = 0;
  add_look(series_, now_ns, limit, report);
  if (series_.times_ns.size() < kMostLooks) return;
  halve(series_);
  stride_ *= 2;
  // The last look is left out, and was half a new stride after the one that is now the last.
  skipped_ = stride_ / 2;
}

void TopSites::look(uint64_t now_ns, uint64_t every_ns, uint64_t limit, report::Report& report, base::Arena& arena) {
  add_to_series(now_ns, every_ns, limit, report);
  if (series_.times_ns.size() >= report::kFewestLooks) add_growth(report, arena, series_);
  report_ = &report;
  rows_.clear();
  TellingFrames telling(report, PathShortener::here());
  std::set<Key> seen;
  for (Place& place : list_places(report)) {
    if (!place.live && !place.running && !place.closed_by_gc) continue;
    Key key(place.site->kind, place.site->signature, place.site->suppressed_by);
    auto [tally, is_new] = tallies_.try_emplace(key);
    std::optional<uint64_t> before;
    if (is_new && last_ns_) before = last_ns_;
    if (seen.insert(key).second) tally->second.look(now_ns, watched_number(place.site->kind, place), before);
    TopSiteRow& row = rows_.emplace_back();
    row.tally = tally->second;
    if (const auto& frame = telling.of(place.site->stack)) row.where = frame->frame;
    row.place = std::move(place);
  }
  for (auto& [key, tally] : tallies_)
    if (!seen.contains(key)) tally.look(now_ns, 0);
  if (!first_ns_) first_ns_ = now_ns;
  last_ns_ = now_ns;
}

}  // namespace unfreed::render
