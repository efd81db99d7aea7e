#include "render/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <span>
#include <tuple>

#include "render/columns.h"
#include "render/function_names.h"
#include "render/kernel_view.h"
#include "render/place_text.h"
#include "render/quantities.h"
#include "render/views.h"

namespace unfreed::render {

using report::Counter;
using report::Report;
using report::Totals;

namespace {

using Key = std::tuple<ledger::Kind, report::Text, uint64_t>;

/// Not of groups: which functions acquire what a group holds may change.
std::map<Key, Place> by_key(const Report& report, GroupBy by) {
  std::map<Key, Place> places;
  for (Place& one : list_places(report)) {
    if (!one.counts() || !one.live) continue;
    report::Text function = by == GroupBy::site ? one.site->acquired_by : report::Text();
    places.emplace(Key{one.site->kind, function, one.site->signature}, std::move(one));
  }
  return places;
}

uint64_t distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

/// What decides comes first.
std::pair<uint64_t, uint64_t> in_order(uint64_t live, uint64_t bytes, bool by_bytes) {
  return by_bytes ? std::pair(bytes, live) : std::pair(live, bytes);
}

std::pair<uint64_t, uint64_t> size_of(const Change& one, bool by_bytes) {
  return in_order(distance(one.place.live, one.old_live), distance(one.place.bytes, one.old_bytes), by_bytes);
}

void sort_by_size(std::vector<Change>& changes, bool by_bytes) {
  auto size = [&](const Change& one) { return size_of(one, by_bytes); };
  std::stable_sort(changes.begin(), changes.end(), [&](const Change& a, const Change& b) { return size(a) > size(b); });
}

bool are_of_one_process(const Report& older, const Report& newer) {
  const report::Process &then = older.process, &now = newer.process;
  return then.pid == now.pid && then.started == now.started && !then.started.empty();
}

/// Between two reports of one process, the older one first; else 0. One that was attached to was looked at since then,
/// and each time anew.
uint64_t time_between(const Report& older, const Report& newer) {
  const report::Process &then = older.process, &now = newer.process;
  if (!are_of_one_process(older, newer) || !then.duration_ns || !now.duration_ns ||
      *now.duration_ns <= *then.duration_ns || then.attached || now.attached)
    return 0;
  return *now.duration_ns - *then.duration_ns;
}

/// "4.5 per minute": in the shortest unit of which there is one or more.
std::string write_rate(uint64_t count, uint64_t duration_ns) {
  struct Unit {
    double seconds;
    const char* name;
  };
  constexpr Unit kUnits[] = {{1, "second"}, {60, "minute"}, {3600, "hour"}, {86400, "day"}};
  double per_second = static_cast<double>(count) * 1e9 / static_cast<double>(duration_ns);
  for (const Unit& unit : kUnits)
    if (double rate = per_second * unit.seconds; rate >= 1 || &unit == std::end(kUnits) - 1)
      return rate < 10 ? fmt::format("{:.1f} per {}", rate, unit.name)
                       : fmt::format("{} per {}", write_count(static_cast<uint64_t>(rate + 0.5)), unit.name);
  return {};
}

class Lists {
 public:
  Lists(uint64_t time_ns, const ComparisonOptions& compared, const TextOptions& options, const DifferenceOptions& shown)
      : time_ns_(time_ns), compared_(compared), options_(options), shown_(shown) {}

  enum class Of : uint8_t { appeared, changed, gone };
  void render(const char* title, const std::vector<Change>& changes, Of of, std::string& out) {
    const std::string noun = compared_.by == GroupBy::site ? "call site" : "group";
    std::vector<const Change*> large;
    for (const Change& one : changes)
      if (size_of(one, compared_.by_bytes).first >= shown_.least) large.push_back(&one);
    small_ += changes.size() - large.size();
    if (large.empty()) return;
    out += fmt::format("\n{} ({})\n", title, write_number_of(large.size(), noun));
    size_t count = std::min(large.size(), shown_.most_changes);
    if (shown_.has_table) out += tabulate({large.data(), count}, of == Of::gone);
    for (size_t at = 0; at < count && !shown_.has_table; ++at) {
      if (of == Of::changed) out += "  " + describe(*large[at]) + "\n";
      out += render_place(large[at]->place, options_, "  ");
    }
    if (large.size() > shown_.most_changes)
      out += fmt::format("  and {}\n", write_number_of(large.size() - shown_.most_changes, "more " + noun));
  }
  uint64_t small() const { return small_; }

 private:
  /// A line for each.
  std::string tabulate(std::span<const Change* const> changes, bool are_gone) const {
    std::vector<Column> columns = {{"before", true, {}}, {"now", true, {}},   {"change", true, {}}, {"size", true, {}},
                                   {"kind", false, {}},  {"from", false, {}}, {"", false, {}}};
    TextOptions plain = options_;
    plain.colour = false;  // which would be cut
    for (const Change* one : changes) {
      const Place& place = one->place;
      uint64_t then = are_gone ? place.live : one->old_live, now = are_gone ? 0 : place.live;
      uint64_t old_bytes = are_gone ? place.bytes : one->old_bytes, bytes = are_gone ? 0 : place.bytes;
      bool has_bytes = place.site->kind == ledger::Kind::heap;
      std::string cells[] = {write_count(then),
                             write_count(now),
                             write_change(then, now),
                             has_bytes ? fmt::format("{} -> {}", write_bytes(old_bytes), write_bytes(bytes)) : "",
                             std::string(report::kind_name(place.site->kind)),
                             printable(place.site->acquired_by),
                             first_frame_of(place, plain)};
      for (size_t at = 0; at < columns.size(); ++at) columns[at].cells.push_back(cells[at]);
    }
    std::string text;
    for (const std::string& line : lay_out(columns, options_.columns)) text += line + "\n";
    return text;
  }

  /// "+4, 2.0 per second"; "" if there is none.
  std::string write_change(uint64_t then, uint64_t now) const {
    if (now == then) return {};
    std::string rate = time_ns_ && now > then ? ", " + write_rate(now - then, time_ns_) : "";
    return fmt::format("{}{}{}", now > then ? "+" : "-", write_count(distance(now, then)), rate);
  }

  /// "2 -> 6 (+4, 2.0 per second)"
  std::string describe(const Change& change) const {
    uint64_t now = change.place.live, then = change.old_live;
    std::string text = fmt::format("{} -> {}", write_count(then), write_count(now));
    if (now != then) text += fmt::format(" ({})", write_change(then, now));
    if (change.place.site->kind == ledger::Kind::heap)
      text += fmt::format(", {} -> {}", write_bytes(change.old_bytes), write_bytes(change.place.bytes));
    return text;
  }

  uint64_t time_ns_;
  const ComparisonOptions& compared_;
  const TextOptions& options_;
  const DifferenceOptions& shown_;
  uint64_t small_ = 0;
};

/// How much time lies between the reports.
std::string render_time(const Report& older, const Report& newer, uint64_t between_ns) {
  if (between_ns) return fmt::format("  {} later, in the same process\n", write_duration(between_ns));
  if (are_of_one_process(older, newer) || !older.process.duration_ns || !newer.process.duration_ns) return {};
  return fmt::format("  different processes: after {} and after {} of running\n",
                     write_duration(*older.process.duration_ns), write_duration(*newer.process.duration_ns));
}

/// The largest change first.
std::vector<TargetChange> compare_targets(const Report& older, const Report& newer) {
  std::map<std::string, TargetChange> all;
  for (auto& [target, count] : count_targets(older, PathShortener::here())) all[target].before = count;
  for (auto& [target, count] : count_targets(newer, PathShortener::here())) all[target].now = count;
  std::vector<TargetChange> changes;
  for (auto& [target, change] : all) {
    change.target = target;
    if (change.before != change.now) changes.push_back(change);
  }
  auto size = [](const TargetChange& one) { return std::max(one.before, one.now) - std::min(one.before, one.now); };
  std::stable_sort(changes.begin(), changes.end(),
                   [&](const TargetChange& left, const TargetChange& right) { return size(left) > size(right); });
  return changes;
}

std::string render_targets(const Report& older, const Report& newer, const Difference& difference, uint64_t between_ns,
                           const TextOptions& options, size_t most) {
  uint64_t then = older.descriptors.size() + older.descriptors_omitted;
  uint64_t now = newer.descriptors.size() + newer.descriptors_omitted;
  std::string text = fmt::format("  fd      {} -> {} open\n  thread  {} -> {}\n", write_count(then), write_count(now),
                                 write_count(older.threads.size() + older.threads_omitted),
                                 write_count(newer.threads.size() + newer.threads_omitted));
  if (older.memory && newer.memory)
    text += fmt::format("  memory  {} -> {} of its own\n", write_bytes(older.memory->anonymous),
                        write_bytes(newer.memory->anonymous));
  const std::vector<TargetChange>& changes = difference.targets;
  if (!changes.empty()) text += "\ndescriptors, by what they lead to\n";
  for (size_t at = 0; at < std::min(changes.size(), most); ++at) {
    const TargetChange& one = changes[at];
    std::string rate = one.now > one.before && between_ns ? ", " + write_rate(one.now - one.before, between_ns) : "";
    text += cut_to(fmt::format("  {} -> {} ({}{}{})  {}", write_count(one.before), write_count(one.now),
                               one.now > one.before ? "+" : "-",
                               write_count(std::max(one.before, one.now) - std::min(one.before, one.now)), rate,
                               one.target),
                   options.columns) +
            "\n";
  }
  if (changes.size() > most) text += fmt::format("  and {}\n", write_number_of(changes.size() - most, "more change"));
  return text;
}

}  // namespace

bool Difference::is_worse() const {
  return !appeared.empty() || !grew.empty() ||
         std::any_of(targets.begin(), targets.end(), [](const TargetChange& one) { return one.now > one.before; });
}

Difference compare(const Report& older, const Report& newer, const ComparisonOptions& options) {
  Difference difference;
  difference.options = options;
  if (is_kernel_view(older) && is_kernel_view(newer)) difference.targets = compare_targets(older, newer);
  std::map<Key, Place> before = by_key(older, options.by);
  for (auto& [key, place] : by_key(newer, options.by)) {
    auto match = before.find(key);
    if (match == before.end()) {
      difference.appeared.push_back({place, 0, 0});
      continue;
    }
    Change change{place, match->second.live, match->second.bytes};
    before.erase(match);
    auto now = in_order(place.live, place.bytes, options.by_bytes);
    auto then = in_order(change.old_live, change.old_bytes, options.by_bytes);
    if (now > then)
      difference.grew.push_back(change);
    else if (now < then)
      difference.shrank.push_back(change);
  }
  for (auto& [key, place] : before) difference.gone.push_back({place, place.live, place.bytes});
  for (Change& change : difference.gone) change.old_live = change.old_bytes = 0;  // sorted by what has gone
  for (auto* list : {&difference.appeared, &difference.grew, &difference.shrank, &difference.gone})
    sort_by_size(*list, options.by_bytes);
  return difference;
}

std::string render_difference(const Report& older, const Report& newer, const Difference& difference,
                              const TextOptions& options, const DifferenceOptions& shown) {
  uint64_t between_ns = time_between(older, newer);
  std::string text =
      fmt::format("unfreed: {} -> {}\n", describe_process(older.process), describe_process(newer.process));
  text += render_time(older, newer, between_ns);
  for (size_t at = 0; at < report::kSubjectCount; ++at) {
    auto subject = static_cast<report::Subject>(at);
    const Totals* now = newer.totals_of(subject);
    const Totals* old = older.totals_of(subject);
    if (!now) continue;
    // Of a kind that was not tracked before, that is worth a line.
    bool is_comparable = old || at >= ledger::kKindCount;
    if (is_comparable && !(*now)[Counter::live] && !(old && (*old)[Counter::live])) continue;
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
  if (is_kernel_view(older) && is_kernel_view(newer))
    text += render_targets(older, newer, difference, between_ns, options, shown.most_changes);
  Lists lists(between_ns, difference.options, options, shown);
  lists.render("new", difference.appeared, Lists::Of::appeared, text);
  lists.render("grew", difference.grew, Lists::Of::changed, text);
  lists.render("shrank", difference.shrank, Lists::Of::changed, text);
  lists.render("gone", difference.gone, Lists::Of::gone, text);
  if (uint64_t small = lists.small())
    text += fmt::format("\n  {} of {} than {} {} not shown\n", write_number_of(small, "change"),
                        difference.options.by_bytes ? "less" : "fewer",
                        difference.options.by_bytes ? write_bytes(shown.least) : write_count(shown.least),
                        small == 1 ? "is" : "are");
  bool same =
      !difference.is_worse() && difference.shrank.empty() && difference.gone.empty() && difference.targets.empty();
  return same ? text + "\nno differences\n" : text;
}

}  // namespace unfreed::render
