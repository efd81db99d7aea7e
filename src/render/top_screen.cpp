// How the screen of `unfreed top` is drawn.
#include "render/top_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "render/function_names.h"
#include "render/place_text.h"
#include "render/quantities.h"
#include "render/text_parts.h"

namespace unfreed::render {

namespace {

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

}  // namespace

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

}  // namespace unfreed::render
