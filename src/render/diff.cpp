#include "render/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "render/function_names.h"
#include "render/kernel_view.h"
#include "render/place_text.h"
#include "render/quantities.h"

namespace unfreed::render {

using report::Counter;
using report::Report;
using report::Totals;

namespace {

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

bool are_of_one_process(const Report& older, const Report& newer) {
  const report::Process &then = older.process, &now = newer.process;
  return then.pid == now.pid && then.started == now.started && !then.started.empty();
}

/// Between two reports of one process, the older one first; else 0.
uint64_t time_between(const Report& older, const Report& newer) {
  const report::Process &then = older.process, &now = newer.process;
  if (!are_of_one_process(older, newer) || !then.duration_ns || !now.duration_ns ||
      *now.duration_ns <= *then.duration_ns)
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
  Lists(uint64_t time_ns, const TextOptions& options, const DifferenceOptions& shown)
      : time_ns_(time_ns), options_(options), shown_(shown) {}

  void render(const char* title, const std::vector<Change>& changes, bool has_old, std::string& out) {
    std::vector<const Change*> large;
    for (const Change& one : changes)
      if (distance(one.place.live, one.old_live) >= shown_.least_live) large.push_back(&one);
    small_ += changes.size() - large.size();
    if (large.empty()) return;
    out += fmt::format("\n{} ({})\n", title, write_number_of(large.size(), "call site"));
    for (size_t at = 0; at < std::min(large.size(), shown_.most_changes); ++at) {
      if (has_old) out += "  " + describe(*large[at]) + "\n";
      out += render_place(large[at]->place, options_, "  ");
    }
    if (large.size() > shown_.most_changes)
      out += fmt::format("  and {}\n", write_number_of(large.size() - shown_.most_changes, "more call site"));
  }
  uint64_t small() const { return small_; }

 private:
  /// "2 -> 6 (+4, 2.0 per second)"
  std::string describe(const Change& change) const {
    uint64_t now = change.place.live, then = change.old_live;
    std::string text = fmt::format("{} -> {}", write_count(then), write_count(now));
    std::string rate = time_ns_ && now > then ? ", " + write_rate(now - then, time_ns_) : "";
    if (now != then) text += fmt::format(" ({}{}{})", now > then ? "+" : "-", write_count(distance(now, then)), rate);
    if (change.place.site->kind == ledger::Kind::heap)
      text += fmt::format(", {} -> {}", write_bytes(change.old_bytes), write_bytes(change.place.bytes));
    return text;
  }

  uint64_t time_ns_;
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

Difference compare(const Report& older, const Report& newer) {
  Difference difference;
  if (is_kernel_view(older) && is_kernel_view(newer)) difference.targets = compare_targets(older, newer);
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
                              const TextOptions& options, const DifferenceOptions& shown) {
  uint64_t between_ns = time_between(older, newer);
  std::string text =
      fmt::format("unfreed: {} -> {}\n", describe_process(older.process), describe_process(newer.process));
  text += render_time(older, newer, between_ns);
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
  if (is_kernel_view(older) && is_kernel_view(newer))
    text += render_targets(older, newer, difference, between_ns, options, shown.most_changes);
  Lists lists(between_ns, options, shown);
  lists.render("new", difference.appeared, false, text);
  lists.render("grew", difference.grew, true, text);
  lists.render("shrank", difference.shrank, true, text);
  lists.render("gone", difference.gone, false, text);
  if (uint64_t small = lists.small())
    text += fmt::format("\n  {} of fewer than {} {} not shown\n", write_number_of(small, "change"), shown.least_live,
                        small == 1 ? "is" : "are");
  bool same =
      !difference.is_worse() && difference.shrank.empty() && difference.gone.empty() && difference.targets.empty();
  return same ? text + "\nno differences\n" : text;
}

}  // namespace unfreed::render
