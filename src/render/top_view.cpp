#include "render/top_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "render/function_names.h"
#include "render/growth_text.h"
#include "render/quantities.h"
#include "render/text_parts.h"
#include "render/top_orders.h"

namespace unfreed::render {

namespace {

/// Does the filter match the kind, the acquiring function, a frame or a target?
bool matches(const Pattern& pattern, const TopSiteRow& row) {
  const report::Site& site = *row.place.site;
  if (pattern.matches(report::kind_name(site.kind)) || pattern.matches(site.acquired_by)) return true;
  for (const StackFrame& frame : row.place.stack())
    if (pattern.matches(frame.function) || pattern.matches(frame.file) || pattern.matches(frame.module)) return true;
  for (const report::Object* object : row.place.objects)
    if (pattern.matches(object->target)) return true;
  return false;
}

std::string or_nothing(uint64_t number) { return number ? write_count(number) : ""; }

const char* word_of(report::Course course) {
  switch (course) {
    case report::Course::grows:
      return "grows";
    case report::Course::levels_off:
      return "levels off";
    case report::Course::steady:
      return "steady";
    default:
      return "";
  }
}

}  // namespace

TopView::TopView(uint64_t delay_ns, PathShortener paths) : delay_ns_(delay_ns), paths_(std::move(paths)) {}

// ---- looks ----

void TopView::look(uint64_t now_ns, const std::vector<TopProcess>& processes) {
  processes_.look(now_ns, processes, process_key_);
  std::erase_if(sites_, [&](const auto& entry) { return !processes_.find(entry.first); });
  keep_cursors();
}

void TopView::look(uint64_t now_ns, const std::string& key, report::Report& report, base::Arena& arena) {
  const TopProcessRow* process = processes_.find(key);
  sites_[key].look(now_ns, delay_ns_, process ? process->last.limit : 0, report, arena);
  keep_cursors();
}

void TopView::forget_sites() {
  for (auto& [key, sites] : sites_) sites.forget_report();
}

// ---- lists ----

std::vector<const TopProcessRow*> TopView::processes() const {
  std::vector<const TopProcessRow*> rows = processes_.rows();
  if (const auto& pattern = patterns_[kProcesses])
    std::erase_if(rows, [&](const TopProcessRow* row) {
      return !pattern->matches(row->last.command) && !pattern->matches(row->last.name) &&
             !pattern->matches(std::to_string(row->last.pid));
    });
  std::stable_sort(rows.begin(), rows.end(), process_orders()[process_order_].comes_first);
  if (is_reversed_[kProcesses]) std::reverse(rows.begin(), rows.end());
  // If many short processes come and go, running ones stay at the top.
  std::stable_partition(rows.begin(), rows.end(), [](const TopProcessRow* row) { return !row->ended_ns; });
  return rows;
}

std::vector<std::string> TopView::running() const {
  std::vector<std::string> keys;
  for (const TopProcessRow* row : processes())
    if (!row->ended_ns) keys.push_back(row->last.key);
  return keys;
}

void TopView::select(const std::string& key) {
  process_key_ = key;
  site_cursor_ = {};
  site_key_.clear();
  keep_cursors();
}

const TopProcessRow* TopView::selected() const { return processes_.find(process_key_); }

const TopSites* TopView::selected_sites() const {
  auto found = sites_.find(process_key_);
  return found == sites_.end() ? nullptr : &found->second;
}

std::vector<const TopSiteRow*> TopView::sites() const {
  std::vector<const TopSiteRow*> rows;
  const TopSites* sites = selected_sites();
  if (!sites) return rows;
  for (const TopSiteRow& row : sites->rows()) {
    if (kind_ && row.place.site->kind != *kind_) continue;
    if (patterns_[kSites] && !matches(*patterns_[kSites], row)) continue;
    rows.push_back(&row);
  }
  if (auto* number = site_orders()[site_order_].number)
    std::stable_sort(rows.begin(), rows.end(),
                     [&](const auto* left, const auto* right) { return number(*left) > number(*right); });
  if (is_reversed_[kSites]) std::reverse(rows.begin(), rows.end());
  return rows;
}

const TopSiteRow* TopView::selected_site() const {
  std::vector<const TopSiteRow*> rows = sites();
  return site_cursor_.row < rows.size() ? rows[site_cursor_.row] : nullptr;
}

void TopView::Cursor::move(int64_t by, size_t rows) {
  int64_t last = rows ? static_cast<int64_t>(rows) - 1 : 0;
  row = static_cast<size_t>(std::clamp<int64_t>(static_cast<int64_t>(row) + by, 0, last));
}

void TopView::Cursor::show_in(size_t lines, size_t rows) {
  if (row < top) top = row;
  if (row >= top + lines) top = row + 1 - lines;
  if (top + lines > rows) top = rows > lines ? rows - lines : 0;
}

/// A selected process or call site stays selected when rows move; if it is gone, the row in its place is selected.
void TopView::keep_cursors() {
  std::vector<const TopProcessRow*> shown = processes();
  auto process =
      std::find_if(shown.begin(), shown.end(), [&](const auto* row) { return row->last.key == process_key_; });
  if (process != shown.end()) process_cursor_.row = static_cast<size_t>(process - shown.begin());
  process_cursor_.move(0, shown.size());
  std::string key = shown.empty() ? "" : shown[process_cursor_.row]->last.key;
  if (key != process_key_) {
    process_key_ = key;
    site_cursor_ = {};
    site_key_.clear();
  }
  std::vector<const TopSiteRow*> rows = sites();
  auto site = std::find_if(rows.begin(), rows.end(), [&](const auto* row) { return key_of_site(*row) == site_key_; });
  if (site != rows.end()) site_cursor_.row = static_cast<size_t>(site - rows.begin());
  site_cursor_.move(0, rows.size());
  site_key_ = rows.empty() || site_key_.empty() ? site_key_ : key_of_site(*rows[site_cursor_.row]);
}

// ---- rows ----

std::string TopView::describe_list(Focus list) const {
  size_t at = list == Focus::sites ? kSites : kProcesses;
  std::string text = fmt::format(
      "by {}", list == Focus::sites ? site_orders()[site_order_].name : process_orders()[process_order_].name);
  if (is_reversed_[at]) text += ", reversed";
  if (list == Focus::sites && kind_) text += fmt::format(", only {}", report::kind_name(*kind_));
  if (!filters_[at].empty()) text += fmt::format(", matching '{}'", printable(filters_[at]));
  return text;
}

std::vector<Column> TopView::process_columns(const std::vector<const TopProcessRow*>& rows) const {
  std::vector<Column> columns = {{"PID", true, {}},     {"RUNNING", true, {}}, {"FDS", true, {}},
                                 {"+/-", true, {}},     {"HEAP", true, {}},    {"+/-", true, {}},
                                 {"THREADS", true, {}}, {"+/-", true, {}},     {"COMMAND", false, {}}};
  for (const TopProcessRow* row : rows) {
    auto held = [&](size_t kind) {
      return row->last.held[kind] ? write_held(*row->last.held[kind], static_cast<ledger::Kind>(kind)) : "-";
    };
    auto rate = [&](size_t kind) {
      return row->ended_ns ? "" : write_rate(row->kinds[kind].per_second(), static_cast<ledger::Kind>(kind));
    };
    std::string command = printable(row->last.command.empty() ? row->last.name : row->last.command);
    std::string cells[] = {std::to_string(row->last.pid),
                           write_duration(row->last.running_ns),
                           held(kFd),
                           rate(kFd),
                           held(kHeap),
                           rate(kHeap),
                           held(kThread),
                           rate(kThread),
                           (row->ended_ns ? "(ended) " : "") + command};
    for (size_t at = 0; at < columns.size(); ++at) columns[at].cells.push_back(cells[at]);
  }
  return columns;
}

std::vector<Column> TopView::site_columns(const std::vector<const TopSiteRow*>& rows, size_t columns) const {
  std::vector<Column> table = {{"KIND", false, {}}, {"LIVE", true, {}},    {"GROWTH", true, {}},
                               {"RATE", true, {}},  {"COURSE", false, {}}, {"SIZE", true, {}},
                               {"LOST", true, {}},  {"AGE", true, {}},     {"CALL SITE", false, {}}};
  constexpr size_t kNarrow = 100;
  TextOptions options;
  options.paths = paths_;
  for (const TopSiteRow* row : rows) {
    const Place& place = row->place;
    ledger::Kind kind = place.site->kind;
    bool is_wide = columns >= kNarrow;
    uint64_t age = age_of(*row);
    std::string where = row->where ? render_frame({&*row->where, false}, options, columns) : "(no stack)";
    if (!place.site->suppressed_by.empty()) where.insert(0, "(suppressed) ");
    std::string cells[] = {std::string(report::kind_name(kind)),
                           write_count(place.live + place.running),
                           write_change(row->tally.growth(), kind),
                           write_rate(row->tally.per_second(), kind),
                           is_wide && place.growth ? word_of(place.growth->course) : "",
                           place.bytes ? write_bytes(place.bytes) : "",
                           or_nothing(place.lost),
                           is_wide && age ? write_duration(age) : "",
                           where};
    for (size_t at = 0; at < table.size(); ++at) table[at].cells.push_back(cells[at]);
  }
  return table;
}

std::string TopView::describe_selected() const {
  const TopProcessRow* process = selected();
  if (!process) return "no process";
  std::string text = fmt::format("{} (pid {})", printable(process->last.name), process->last.pid);
  if (process->ended_ns) return text + " has ended; what it held last";
  const TopSites* sites = selected_sites();
  if (!sites || !sites->report()) return text;
  text += fmt::format(": {}", write_number_of(sites->rows().size(), "call site"));
  if (sites->last_ns() > sites->first_ns())
    text += fmt::format(", looked at for {}", write_duration(sites->last_ns() - sites->first_ns()));
  return text + "; " + describe_list(Focus::sites);
}

/// "fd 120 of 1,024 +3/s grows   heap 1.2 MiB +12 KiB/s", in lines.
std::vector<std::string> TopView::describe_kinds(const TopProcessRow& row, size_t columns) const {
  const TopSites* sites = selected_sites();
  const report::Report* report = sites ? sites->report() : nullptr;
  std::vector<std::string> parts;
  for (size_t at = 0; at < ledger::kKindCount; ++at) {
    auto kind = static_cast<ledger::Kind>(at);
    if (!row.last.held[at] || (!*row.last.held[at] && !row.kinds[at].growth())) continue;
    std::string part = fmt::format("{} {}", report::kind_name(kind), write_held(*row.last.held[at], kind));
    std::string rate = row.ended_ns ? "" : write_rate(row.kinds[at].per_second(), kind);
    for (const std::string& more : {write_change(row.kinds[at].growth(), kind), rate})
      if (!more.empty()) part += " " + more;
    if (report && report->watch)
      for (const report::KindGrowth& one : report->watch->kinds)
        if (one.kind == kind && is_worth_saying(one) && *word_of(one.growth.course))
          part += std::string(" ") + word_of(one.growth.course);
    parts.push_back(part);
  }
  if (row.last.limit && !row.ended_ns) {
    std::string part = fmt::format("open {} of {}", write_count(row.last.open), write_count(row.last.limit));
    std::optional<double> rate = row.kinds[kFd].per_second();
    if (rate && *rate > 0 && row.last.limit > row.last.open) {
      constexpr double kMostSeconds = 86400;
      double seconds = static_cast<double>(row.last.limit - row.last.open) / *rate;
      if (seconds < kMostSeconds) part += ", full in " + write_duration(static_cast<uint64_t>(seconds * 1e9));
    }
    parts.push_back(part);
  }
  std::vector<std::string> lines(1, " ");
  for (const std::string& part : parts) {
    if (columns_of(lines.back()) + columns_of(part) + 3 > columns && lines.back() != " ") lines.emplace_back(" ");
    lines.back() += (lines.back() == " " ? " " : "   ") + part;
  }
  for (std::string& line : lines) line = cut_to(line, columns);
  return lines;
}

// ---- text ----

std::string TopView::write_processes(size_t columns) const {
  std::string text;
  for (const std::string& line : lay_out(process_columns(processes()), columns)) text += line + "\n";
  return text.empty() ? "  nothing is being tracked\n" : text;
}

std::string TopView::write_sites(const TextOptions& options) const {
  const TopProcessRow* process = selected();
  if (!process) return {};
  std::string text = cut_to(describe_selected(), options.columns) + "\n";
  for (const std::string& line : describe_kinds(*process, options.columns)) text += line + "\n";
  std::vector<const TopSiteRow*> rows = sites();
  size_t left_out = rows.size() - std::min(rows.size(), options.most_sites);
  rows.resize(rows.size() - left_out);
  std::vector<std::string> table = lay_out(site_columns(rows, options.columns), options.columns);
  for (size_t at = 0; at < table.size(); ++at) {
    text += table[at] + "\n";
    if (at) text += render_frames(*rows[at - 1]->place.report, rows[at - 1]->place.site->stack, options, "        ");
  }
  if (left_out) text += fmt::format("  and {}\n", write_number_of(left_out, "more call site"));
  return text;
}

}  // namespace unfreed::render
