#include "render/top_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "render/columns.h"
#include "render/function_names.h"
#include "render/growth_text.h"
#include "render/quantities.h"
#include "render/text_parts.h"

namespace unfreed::render {

namespace {

constexpr size_t kProcesses = 0, kSites = 1;
constexpr auto kFd = static_cast<size_t>(ledger::Kind::fd), kHeap = static_cast<size_t>(ledger::Kind::heap),
               kThread = static_cast<size_t>(ledger::Kind::thread);

// ---- orders ----

using ProcessRow = const TopProcessRow*;
using SiteRow = const TopSiteRow*;

struct ProcessOrder {
  const char* name;
  bool (*comes_first)(ProcessRow left, ProcessRow right);
};
template <size_t kind>
bool has_more(ProcessRow left, ProcessRow right) {
  return left->kinds[kind].value() > right->kinds[kind].value();
}
template <size_t kind>
bool grows_more(ProcessRow left, ProcessRow right) {
  return left->kinds[kind].growth() > right->kinds[kind].growth();
}
constexpr ProcessOrder kProcessOrders[] = {
    {"pid", [](ProcessRow left, ProcessRow right) { return left->last.pid < right->last.pid; }},
    {"descriptors", has_more<kFd>},
    {"growth of descriptors", grows_more<kFd>},
    {"heap", has_more<kHeap>},
    {"growth of heap", grows_more<kHeap>},
    {"threads", has_more<kThread>},
    {"running time", [](ProcessRow left, ProcessRow right) { return left->last.running_ns > right->last.running_ns; }},
};

/// Of different kinds: a page of heap weighs as much as one of anything else.
double weight(double number, ledger::Kind kind) {
  constexpr double kPageBytes = 4096;
  return kind == ledger::Kind::heap ? number / kPageBytes : number;
}
double weight_of_growth(const TopSiteRow& row) {
  return weight(static_cast<double>(row.tally.growth()), row.place.site->kind);
}
double weight_of_rate(const TopSiteRow& row) {
  return weight(row.tally.per_second().value_or(0), row.place.site->kind);
}

struct SiteOrder {
  const char* name;
  double (*number)(const TopSiteRow& row);  ///< nullptr: as the report has them, the worst first
};
/// As `unfreed report --sort` has it.
template <size_t order>
double number_of_order(const TopSiteRow& row) {
  return static_cast<double>(orders()[order].number(*row.place.report, row.place));
}
/// The first is for who has not chosen. Where nothing grows, the worst comes first.
constexpr SiteOrder kSiteOrders[] = {
    {"growth", weight_of_growth},
    {"rate", weight_of_rate},
    {"the worst", nullptr},
    {"live", number_of_order<0>},
    {"bytes", number_of_order<1>},
    {"age", number_of_order<2>},
    {"acquired in all", number_of_order<4>},
};

std::string key_of_site(const TopSiteRow& row) {
  const report::Site& site = *row.place.site;
  return fmt::format("{} {:x} {}", report::kind_name(site.kind), site.signature, site.suppressed_by);
}

/// Of a frame: what a person looks for.
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

ScreenLine line_of(std::string text, Style style = Style::plain) { return {{std::move(text), style}}; }

ScreenLine bar(const std::string& text, size_t columns) {
  std::string cut = cut_to(text, columns);
  return line_of(cut + std::string(columns - std::min(columns, columns_of(cut)), ' '), Style::bar);
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

constexpr std::string_view kHelp = R"(Keys

  up, down, page up, page down, home, end    select a row (also j and k)
  Tab, left, right                           go to the other list: processes, call sites
  Enter                                      the selected call site with its whole stack; Esc: back
  s, S                                       sort the list by the next, the previous number
  r                                          turn the order round
  /                                          filter the list by a regular expression; empty: all
  t                                          call sites of one kind only
  f, space                                   freeze what is shown, and go on
  w                                          write a report on the process, as `unfreed snapshot` does
  g                                          have the process search for what it has lost (asks first)
  ?, h, F1                                   this help
  q, ^C                                      quit

Columns

  FDS, HEAP, THREADS    what a process holds of its own
  +/-                   how much more that is than a moment ago: over the last ten seconds, per second or minute
  LIVE                  what a call site holds, or runs
  GROWTH                how much more that is since the first look; of the heap in bytes
  RATE                  the same over the last ten seconds, per second or minute
  COURSE                after 12 looks: grows, levels off, or steady
  SIZE, LOST            bytes; how many the process cannot get at any more, when it last searched for that (g)
  AGE                   of the oldest
)";

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
  now_ns_ = now_ns;
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
  std::stable_sort(rows.begin(), rows.end(), kProcessOrders[process_order_].comes_first);
  if (is_reversed_[kProcesses]) std::reverse(rows.begin(), rows.end());
  // Where many short processes come and go, those that run stay in sight.
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
  if (auto* number = kSiteOrders[site_order_].number)
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

/// What is selected stays selected where rows move. What is not there any more: its row is.
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

// ---- keys ----

void TopView::move(int64_t by) {
  if (focus_ == Focus::processes) {
    std::vector<const TopProcessRow*> rows = processes();
    process_cursor_.move(by, rows.size());
    if (process_cursor_.row < rows.size() && rows[process_cursor_.row]->last.key != process_key_) {
      process_key_ = rows[process_cursor_.row]->last.key;
      site_cursor_ = {};
      site_key_.clear();
    }
    return;
  }
  std::vector<const TopSiteRow*> rows = sites();
  site_cursor_.move(by, rows.size());
  if (site_cursor_.row < rows.size()) site_key_ = key_of_site(*rows[site_cursor_.row]);
}

void TopView::sort_next(int by) {
  bool is_sites = focus_ == Focus::sites;
  size_t& order = is_sites ? site_order_ : process_order_;
  auto all = static_cast<int>(is_sites ? std::size(kSiteOrders) : std::size(kProcessOrders));
  order = static_cast<size_t>((static_cast<int>(order) + by + all) % all);
  if (is_sites) {
    // From the top: who sorts wants to see what comes first.
    site_key_.clear();
    site_cursor_ = {};
  }
  keep_cursors();
}

void TopView::choose_kind() {
  const TopSites* sites = selected_sites();
  uint32_t held = 0;
  if (sites)
    for (const TopSiteRow& row : sites->rows()) held |= 1u << static_cast<unsigned>(row.place.site->kind);
  size_t next = kind_ ? static_cast<size_t>(*kind_) + 1 : 0;
  while (next < ledger::kKindCount && !(held >> next & 1)) ++next;
  kind_ = next < ledger::kKindCount ? std::optional(static_cast<ledger::Kind>(next)) : std::nullopt;
  site_key_.clear();
  site_cursor_ = {};
}

void TopView::set_filter() {
  size_t list = focus_ == Focus::sites ? kSites : kProcesses;
  if (typed_.empty()) {
    filters_[list].clear();
    patterns_[list].reset();
  } else {
    std::string error;
    std::optional<Pattern> pattern = Pattern::compile(typed_, error);
    if (!pattern) {
      message_ = fmt::format("'{}' is no regular expression: {}", printable(typed_), error);
      return;
    }
    filters_[list] = typed_;
    patterns_[list] = std::move(pattern);
  }
  if (list == kSites) {
    site_key_.clear();
    site_cursor_ = {};
  }
  keep_cursors();
}

TopAction TopView::press_in_prompt(uint32_t key) {
  if (key == kKeyEscape) {
    prompt_ = Prompt::none;
    return TopAction::none;
  }
  if (prompt_ == Prompt::grade) {
    prompt_ = Prompt::none;
    return key == 'y' || key == 'Y' ? TopAction::grade : TopAction::none;
  }
  if (key == kKeyEnter) {
    prompt_ = Prompt::none;
    set_filter();
  } else if (key == kKeyErase) {
    while (!typed_.empty() && (typed_.back() & 0xc0) == 0x80) typed_.pop_back();
    if (!typed_.empty()) typed_.pop_back();
  } else if (key == 'U' - '@') {
    typed_.clear();
  } else if (key >= ' ' && key < kKeyUp) {
    // UTF-8.
    if (key < 0x80) {
      typed_ += static_cast<char>(key);
    } else {
      int more = key < 0x800 ? 1 : key < 0x10000 ? 2 : 3;
      constexpr int kFirst[] = {0, 0xc0, 0xe0, 0xf0};
      typed_ += static_cast<char>(kFirst[more] | static_cast<int>(key >> (6 * more)));
      while (more-- > 0) typed_ += static_cast<char>(0x80 | (key >> (6 * more) & 0x3f));
    }
  }
  return TopAction::none;
}

void TopView::press_in_page(uint32_t key) {
  auto page = static_cast<int64_t>(std::max<size_t>(page_lines_, 1));
  int64_t by = 0;
  switch (key) {
    case kKeyUp:
    case 'k':
      by = -1;
      break;
    case kKeyDown:
    case 'j':
      by = 1;
      break;
    case kKeyPageUp:
      by = -page;
      break;
    case kKeyPageDown:
    case ' ':
      by = page;
      break;
    case kKeyHome:
      page_top_ = 0;
      return;
    case kKeyEnd:
      by = INT32_MAX;
      break;
    default:
      page_ = Page::lists;
      return;
  }
  page_top_ = static_cast<size_t>(std::max<int64_t>(static_cast<int64_t>(page_top_) + by, 0));
}

TopAction TopView::press_in_lists(uint32_t key) {
  auto page = static_cast<int64_t>(std::max<size_t>(page_lines_, 1));
  switch (key) {
    case kKeyUp:
    case 'k':
      move(-1);
      break;
    case kKeyDown:
    case 'j':
      move(1);
      break;
    case kKeyPageUp:
      move(-page);
      break;
    case kKeyPageDown:
      move(page);
      break;
    case kKeyHome:
      move(INT32_MIN);
      break;
    case kKeyEnd:
      move(INT32_MAX);
      break;
    case kKeyTab:
    case kKeyLeft:
    case kKeyRight:
      focus_ = focus_ == Focus::sites ? Focus::processes : Focus::sites;
      break;
    case kKeyEnter:
      if (focus_ == Focus::processes) {
        focus_ = Focus::sites;
      } else if (selected_site()) {
        page_ = Page::site;
        page_top_ = 0;
      }
      break;
    case 's':
      sort_next(1);
      break;
    case 'S':
      sort_next(-1);
      break;
    case 'r':
      is_reversed_[focus_ == Focus::sites ? kSites : kProcesses] ^= true;
      keep_cursors();
      break;
    case 't':
      choose_kind();
      break;
    case '/':
      prompt_ = Prompt::filter;
      typed_ = filters_[focus_ == Focus::sites ? kSites : kProcesses];
      break;
    case 'f':
    case ' ':
      is_frozen_ = !is_frozen_;
      break;
    case 'w':
      if (selected()) return TopAction::save;
      break;
    case 'g':
      if (const TopProcessRow* process = selected(); process && !process->ended_ns) prompt_ = Prompt::grade;
      break;
    case '?':
    case 'h':
    case kKeyHelp:
      page_ = Page::help;
      page_top_ = 0;
      break;
    case 'q':
    case 'Q':
      return TopAction::quit;
    default:
      break;
  }
  return TopAction::none;
}

TopAction TopView::press(uint32_t key) {
  message_.clear();
  if (prompt_ != Prompt::none) return press_in_prompt(key);
  if (page_ == Page::lists) return press_in_lists(key);
  if (key == 'q' || key == 'Q') {
    page_ = Page::lists;
    return TopAction::none;
  }
  press_in_page(key);
  return TopAction::none;
}

// ---- drawing ----

std::string TopView::describe_list(Focus list) const {
  size_t at = list == Focus::sites ? kSites : kProcesses;
  std::string text =
      fmt::format("by {}", list == Focus::sites ? kSiteOrders[site_order_].name : kProcessOrders[process_order_].name);
  if (is_reversed_[at]) text += ", reversed";
  if (list == Focus::sites && kind_) text += fmt::format(", only {}", report::kind_name(*kind_));
  if (!filters_[at].empty()) text += fmt::format(", matching '{}'", printable(filters_[at]));
  return text;
}

ScreenLine TopView::draw_title(size_t columns) const {
  size_t running = 0;
  std::vector<const TopProcessRow*> all = processes_.rows();
  for (const TopProcessRow* row : all) running += !row->ended_ns;
  std::string frozen = is_frozen_ ? "FROZEN (f: go on); " : "";
  return bar(fmt::format("unfreed top: {}{}, every {}; {}", frozen,
                         running == 1 ? "1 process" : write_count(running) + " processes", write_duration(delay_ns_),
                         describe_list(Focus::processes)),
             columns);
}

ScreenLine TopView::draw_last(size_t columns) const {
  if (prompt_ == Prompt::filter)
    return line_of(
        cut_to(fmt::format("filter {} by: {}_", focus_ == Focus::sites ? "call sites" : "processes", printable(typed_)),
               columns),
        Style::bold);
  if (prompt_ == Prompt::grade)
    return line_of(
        cut_to("search for what it has lost? (y/n)  It gets the report signal; its threads stop briefly", columns),
        Style::bold);
  if (!message_.empty()) return line_of(cut_to(printable(message_), columns), Style::bold);
  if (page_ != Page::lists) return line_of(cut_to("up, down: scroll   q, Esc: back", columns), Style::faint);
  // What 80 columns have room for: the help has all.
  std::string_view keys = "? help  q quit  Tab list  Enter stack  s sort  / filter  f freeze  w write";
  return line_of(cut_to(keys, columns), Style::faint);
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
    auto age = static_cast<uint64_t>(number_of_order<2>(*row));
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

void TopView::draw_processes(std::vector<ScreenLine>& out, size_t lines, size_t columns) {
  std::vector<const TopProcessRow*> rows = processes();
  if (lines < 2) return;
  size_t room = lines - 1;
  process_cursor_.show_in(room, rows.size());
  if (focus_ == Focus::processes) page_lines_ = room;
  size_t first = process_cursor_.top, last = std::min(rows.size(), first + room);
  std::vector<std::string> text = lay_out(
      process_columns({rows.begin() + static_cast<ptrdiff_t>(first), rows.begin() + static_cast<ptrdiff_t>(last)}),
      columns);
  size_t start = out.size();
  if (rows.empty()) {
    bool is_filtered = !filters_[kProcesses].empty() && !processes_.rows().empty();
    out.push_back(line_of(""));
    out.push_back(line_of(is_filtered ? "  no process matches (/ Enter: show all)"
                                      : "  nothing is being tracked: start a program with `unfreed run`"));
  } else {
    out.push_back(line_of(text[0], Style::bold));
    for (size_t at = first; at < last; ++at) {
      const TopProcessRow& row = *rows[at];
      std::string line = text[at - first + 1];
      bool is_selected = row.last.key == process_key_;
      if (is_selected) line[0] = '>';
      Style style = is_selected && focus_ == Focus::processes ? Style::selected
                    : is_selected                             ? Style::bold
                    : row.ended_ns                            ? Style::faint
                                                              : Style::plain;
      if (style == Style::selected) line += std::string(columns - std::min(columns, columns_of(line)), ' ');
      out.push_back(line_of(line, style));
    }
  }
  out.resize(start + lines);
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

void TopView::draw_selected(std::vector<ScreenLine>& out, size_t columns) const {
  out.push_back(bar(describe_selected(), columns));
  const TopProcessRow* process = selected();
  if (!process) return;
  for (const std::string& line : describe_kinds(*process, columns)) {
    bool grows = line.find(" grows") != std::string::npos || line.find(", full in ") != std::string::npos;
    out.push_back(line_of(line, grows ? Style::red : Style::plain));
  }
}

void TopView::draw_sites(std::vector<ScreenLine>& out, size_t lines, size_t columns) {
  std::vector<const TopSiteRow*> rows = sites();
  size_t start = out.size();
  if (lines < 2) {
    out.resize(start + lines);
    return;
  }
  size_t room = lines - 1;
  site_cursor_.show_in(room, rows.size());
  if (focus_ == Focus::sites) page_lines_ = room;
  size_t first = site_cursor_.top, last = std::min(rows.size(), first + room);
  std::vector<std::string> text =
      lay_out(site_columns({rows.begin() + static_cast<ptrdiff_t>(first), rows.begin() + static_cast<ptrdiff_t>(last)},
                           columns),
              columns);
  if (rows.empty()) {
    const TopSites* all = selected_sites();
    bool is_known = all && all->report(), is_filtered = is_known && !all->rows().empty();
    out.push_back(line_of(""));
    out.push_back(line_of(!selected()            ? ""
                          : is_filtered          ? "  no call site matches"
                          : is_known             ? "  it holds nothing"
                          : selected()->ended_ns ? "  it ended before its call sites were looked at"
                                                 : "  it is just starting or ending"));
  } else {
    out.push_back(line_of(text[0], Style::bold));
    for (size_t at = first; at < last; ++at) {
      const TopSiteRow& row = *rows[at];
      std::string line = text[at - first + 1];
      bool is_selected = at == site_cursor_.row;
      if (is_selected) line[0] = '>';
      bool grows = row.place.growth && row.place.growth->course == report::Course::grows;
      Style style = is_selected && focus_ == Focus::sites ? Style::selected
                    : grows                               ? Style::red
                    : row.place.lost                      ? Style::yellow
                                                          : Style::plain;
      if (style == Style::selected) line += std::string(columns - std::min(columns, columns_of(line)), ' ');
      out.push_back(line_of(line, style));
    }
  }
  out.resize(start + lines);
}

void TopView::draw_stack(std::vector<ScreenLine>& out, size_t lines, size_t columns) const {
  const TopSiteRow* site = selected_site();
  size_t start = out.size();
  if (lines < 2) return;
  if (site) {
    TextOptions options;
    options.paths = paths_;
    options.columns = columns;
    options.most_frames = lines - 1;
    out.push_back(bar(describe_place(site->place, options), columns));
    for (const std::string& line : lines_of(render_frames(*site->place.report, site->place.site->stack, options, "  ")))
      out.push_back(line_of(cut_to(line, columns)));
  } else {
    out.push_back(bar("", columns));
  }
  out.resize(start + lines);
}

void TopView::draw_page(std::vector<ScreenLine>& out, size_t lines, size_t columns) {
  std::vector<std::string> text;
  if (page_ == Page::help) {
    text = lines_of(kHelp);
  } else if (const TopSiteRow* site = selected_site()) {
    TextOptions options;
    options.paths = paths_;
    options.columns = columns;
    options.most_frames = SIZE_MAX;
    text = lines_of(render_place(site->place, options, ""));
    // The whole stack, not what is worth showing first.
    std::vector<StackFrame> stack = site->place.stack();
    text.emplace_back("");
    text.emplace_back("every frame:");
    for (const StackFrame& frame : stack) text.push_back("    " + render_frame({&frame, false}, options, columns - 4));
  } else {
    text.emplace_back("the call site holds nothing any more");
  }
  size_t start = out.size();
  page_lines_ = lines;
  page_top_ = std::min(page_top_, text.size() > lines ? text.size() - lines : 0);
  for (size_t at = page_top_; at < text.size() && at < page_top_ + lines; ++at)
    out.push_back(line_of(cut_to(text[at], columns), at == 0 ? Style::bold : Style::plain));
  out.resize(start + lines);
}

std::vector<ScreenLine> TopView::draw(size_t lines, size_t columns) {
  constexpr size_t kFewestLines = 6, kFewestColumns = 40, kForBoth = 16, kForStack = 20, kStack = 6;
  std::vector<ScreenLine> out;
  if (lines < kFewestLines || columns < kFewestColumns) {
    out.push_back(line_of(cut_to(fmt::format("needs {} x {}", kFewestColumns, kFewestLines), columns)));
    out.resize(std::max<size_t>(lines, 1));
    return out;
  }
  keep_cursors();
  out.push_back(draw_title(columns));
  size_t left = lines - 2;
  if (page_ != Page::lists) {
    draw_page(out, left, columns);
  } else if (lines < kForBoth && focus_ == Focus::processes) {
    draw_processes(out, left, columns);
  } else {
    if (lines >= kForBoth) {
      size_t wanted = std::max<size_t>(processes().size(), 1) + 1;
      size_t part = std::min(wanted, std::max<size_t>(left / 3, 4));
      draw_processes(out, part, columns);
    }
    draw_selected(out, columns);
    size_t stack = lines >= kForStack ? kStack + (lines - kForStack) / 4 : 0;
    size_t taken = out.size() + stack + 1;
    draw_sites(out, lines > taken ? lines - taken : 0, columns);
    draw_stack(out, stack, columns);
  }
  out.resize(lines - 1);
  out.push_back(draw_last(columns));
  return out;
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
