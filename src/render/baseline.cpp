#include "render/baseline.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "base/scan.h"
#include "render/findings.h"
#include "render/places.h"
#include "render/text_parts.h"
#include "report/report_head.h"
#include "settings/suppressions.h"

namespace unfreed::render {

using report::Suppression;

namespace {

constexpr size_t kMostFrames = 8;

using Key = std::pair<ledger::Kind, uint64_t>;

/// The suppression of a line, if it is that of one call site of one kind.
std::optional<Suppression> parse_entry(std::string_view line) {
  Suppression one[1];
  size_t count = 0;
  size_t number = 0;
  report::ParseError error;
  if (!report::parse_suppressions(line, one, count, error, number) || count != 1) return std::nullopt;
  return one[0].signature && !one[0].any_kind ? std::optional(one[0]) : std::nullopt;
}

uint64_t count_of(const Place& place) { return place.site->kind == ledger::Kind::heap ? place.lost : place.live; }

bool is_leak(const Place& place) {
  const report::Site& site = *place.site;
  bool is_news = report::is_news(site.kind) || site.kind == ledger::Kind::heap;
  bool is_of_baseline = site.suppressed_by.empty() || parse_entry(site.suppressed_by);
  return is_news && is_of_baseline && site.owner.empty() && site.grade != report::Grade::informational &&
         count_of(place) > 0;
}

std::string describe(const Place& place, const TextOptions& options) {
  return fmt::format("from {}\n{}", printable(place.site->acquired_by),
                     render_frames(*place.report, place.site->stack, options, "    "));
}

std::string entry_of(const Leak& leak) {
  return fmt::format("{}:signature:{:016x} max={}", report::kind_name(leak.kind), leak.signature, leak.count);
}

std::string block_of(const Leak& leak) {
  std::string text;
  std::string_view rest = leak.description;
  for (bool more = true; more;) {
    std::string_view line = base::next_part(rest, '\n', more);
    if (!line.empty())
      text += fmt::format("# {}{}\n", text.empty() ? fmt::format("{} ", report::kind_name(leak.kind)) : "", line);
  }
  return text + "# reason:\n" + entry_of(leak) + "\n";
}

}  // namespace

std::vector<Leak> list_leaks(Reports reports, const RenderOptions& options) {
  TextOptions text;
  text.most_frames = kMostFrames;
  text.paths = PathShortener(root_of(options).folder(), "");
  std::map<Key, Leak> leaks;
  for (const report::Report* report : reports) {
    if (report->process.outside_rules) continue;
    // One call site may be there twice: with and without a suppression.
    std::map<Key, uint64_t> counts;
    for (const Place& place : list_places(*report)) {
      if (!is_leak(place)) continue;
      Key key{place.site->kind, place.site->signature};
      Leak& leak = leaks[key];
      if (leak.description.empty()) leak = {key.first, key.second, 0, describe(place, text)};
      counts[key] += count_of(place);
      leak.count = std::max(leak.count, counts[key]);
    }
  }
  std::vector<Leak> list;
  list.reserve(leaks.size());
  for (auto& [key, leak] : leaks) list.push_back(std::move(leak));
  std::sort(list.begin(), list.end(), [](const Leak& left, const Leak& right) {
    return std::tie(left.kind, left.description, left.signature) <
           std::tie(right.kind, right.description, right.signature);
  });
  return list;
}

std::string write_baseline(const std::vector<Leak>& leaks) {
  std::string text = fmt::format(
      "{}# Leaks that are accepted for now. Give this file to unfreed run --suppressions; unfreed baseline update\n"
      "# lowers the numbers when leaks have been mended.\n",
      report::kBaselineStart);
  for (const Leak& leak : leaks) text += "\n" + block_of(leak);
  return text;
}

std::string render_report_suppressions(Reports reports, const RenderOptions& options) {
  return write_baseline(list_leaks(reports, options));
}

bool BaselineComparison::is_worse() const {
  return std::any_of(changes.begin(), changes.end(), [](const BaselineChange& change) {
    return change.type == BaselineChange::Type::fresh || change.type == BaselineChange::Type::grown;
  });
}

namespace {

/// Goes through a baseline's text block by block.
class Comparer {
 public:
  Comparer(const std::vector<Leak>& leaks, uint32_t seen_kinds) : seen_kinds_(seen_kinds) {
    for (const Leak& leak : leaks) left_.emplace(Key{leak.kind, leak.signature}, &leak);
  }

  /// Blocks end with an empty line.
  void add_block(std::string_view block) {
    std::string kept;
    bool loses_entries = false;
    bool keeps_lines = false;
    std::string_view rest = block;
    for (bool more = true; more;) {
      std::string_view line = base::next_part(rest, '\n', more);
      if (line.empty() && !more) break;
      std::optional<Suppression> entry = parse_entry(line);
      std::string written = entry ? update(line, *entry) : std::string(line);
      bool is_gone = entry && written.empty();
      loses_entries |= is_gone;
      keeps_lines |= !written.empty() && written.front() != '#';
      if (!is_gone) kept += written + "\n";
    }
    // An entry's comments are removed with it.
    if (!loses_entries || keeps_lines) result_.updated += kept;
  }

  BaselineComparison finish(const std::vector<Leak>& leaks) {
    while (result_.updated.ends_with("\n\n")) result_.updated.pop_back();
    for (const Leak& leak : leaks) {
      if (!left_.contains({leak.kind, leak.signature})) continue;
      result_.changes.push_back({BaselineChange::Type::fresh, leak, 0});
      result_.updated += "\n" + block_of(leak);
    }
    std::stable_sort(result_.changes.begin(), result_.changes.end(),
                     [](const BaselineChange& left, const BaselineChange& right) { return left.type < right.type; });
    return std::move(result_);
  }

 private:
  /// The entry's line as it should be; "" if it is not needed any more.
  std::string update(std::string_view line, const Suppression& entry) {
    using Type = BaselineChange::Type;
    if (!(seen_kinds_ >> static_cast<unsigned>(entry.kind) & 1)) return std::string(line);
    auto found = left_.find({entry.kind, report::signature_of(entry)});
    if (found == left_.end()) {
      Leak gone{entry.kind, report::signature_of(entry), 0, std::string(base::trimmed(line))};
      result_.changes.push_back({Type::gone, gone, entry.most.value_or(0)});
      return {};
    }
    const Leak& leak = *found->second;
    left_.erase(found);
    if (!entry.most || *entry.most == leak.count) return std::string(line);
    result_.changes.push_back({leak.count > *entry.most ? Type::grown : Type::shrunk, leak, *entry.most});
    return entry_of(leak);
  }

  std::map<Key, const Leak*> left_;
  uint32_t seen_kinds_;
  BaselineComparison result_;
};

}  // namespace

BaselineComparison compare_baseline(std::string_view text, const std::vector<Leak>& leaks, uint32_t seen_kinds) {
  Comparer comparer(leaks, seen_kinds);
  while (!text.empty()) {
    size_t end = text.find("\n\n");
    size_t size = end == text.npos ? text.size() : end + 2;
    comparer.add_block(text.substr(0, size));
    text.remove_prefix(size);
  }
  return comparer.finish(leaks);
}

}  // namespace unfreed::render
