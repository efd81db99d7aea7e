// What the keys of `unfreed top` do.
#include "render/top_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>

#include "render/function_names.h"
#include "render/top_orders.h"

namespace unfreed::render {

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
  auto all = static_cast<int>(is_sites ? site_orders().size() : process_orders().size());
  order = static_cast<size_t>((static_cast<int>(order) + by + all) % all);
  if (is_sites) {
    // After sorting, show the list from its top.
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

}  // namespace unfreed::render
