// The screen of `unfreed top`: what is on it, and what its keys do. Keys in, lines of text out: the terminal
// itself is in cli/screen.h.
//
//     ┌ title ────────────────────────────┐
//     │ processes                         │  a list: one row is selected
//     ├ the selected process ─────────────┤
//     │ its kinds, its limit              │
//     │ its call sites                    │  a list: one row is selected
//     ├ the selected call site ───────────┤
//     │ its stack                         │
//     └ keys, a message or a prompt ──────┘
//
// Keys move in the list that has the focus. Where there are too few lines, that list is all that is shown.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "render/columns.h"
#include "render/selection.h"
#include "render/text.h"
#include "render/top_model.h"

namespace unfreed::render {

enum class Style : uint8_t { plain, bold, bar, selected, red, yellow, faint };
struct Span {
  std::string text;
  Style style = Style::plain;
};
using ScreenLine = std::vector<Span>;

/// Keys that are no characters. Others are their code point.
enum TopKey : uint32_t {
  kKeyUp = 0x110000,
  kKeyDown,
  kKeyLeft,
  kKeyRight,
  kKeyPageUp,
  kKeyPageDown,
  kKeyHome,
  kKeyEnd,
  kKeyHelp,
  kKeyErase,
  kKeyOther,
};
inline constexpr uint32_t kKeyEnter = '\n';
inline constexpr uint32_t kKeyEscape = 0x1b;
inline constexpr uint32_t kKeyTab = '\t';

/// What a key asks for that the view cannot do itself.
enum class TopAction : uint8_t { none, quit, save, grade };

class TopView {
 public:
  /// `delay_ns`: between looks.
  TopView(uint64_t delay_ns, PathShortener paths);

  // ---- looks ----

  void look(uint64_t now_ns, const std::vector<TopProcess>& processes);
  /// At the process selected. The report must live until the next such look, or forget_sites().
  void look(uint64_t now_ns, const std::string& key, report::Report& report, base::Arena& arena);
  /// The report is about to go.
  void forget_sites();

  /// nullptr: none.
  const TopProcessRow* selected() const;
  /// Keys of the processes that are listed and have not ended.
  std::vector<std::string> running() const;
  void select(const std::string& key);
  bool is_frozen() const { return is_frozen_; }

  // ---- keys ----

  TopAction press(uint32_t key);
  /// A line that is shown until the next key.
  void say(std::string message) { message_ = std::move(message); }

  // ---- what is shown ----

  /// At most so many lines, of at most so many columns each.
  std::vector<ScreenLine> draw(size_t lines, size_t columns);
  /// All of it as text: the processes, and of each that was looked at its worst call sites.
  std::string write_processes(size_t columns) const;
  std::string write_sites(const TextOptions& options) const;

 private:
  enum class Focus : uint8_t { processes, sites };
  static constexpr size_t kProcesses = 0, kSites = 1;  ///< indexes of what there is for each list
  enum class Page : uint8_t { lists, site, help };
  enum class Prompt : uint8_t { none, filter, grade };
  /// A list that is longer than its part of the screen.
  struct Cursor {
    size_t row = 0;
    size_t top = 0;
    void move(int64_t by, size_t rows);
    void show_in(size_t lines, size_t rows);
  };

  std::vector<const TopProcessRow*> processes() const;
  std::vector<const TopSiteRow*> sites() const;
  const TopSites* selected_sites() const;
  const TopSiteRow* selected_site() const;
  void move(int64_t by);
  void keep_cursors();
  TopAction press_in_lists(uint32_t key);
  TopAction press_in_prompt(uint32_t key);
  void press_in_page(uint32_t key);
  void sort_next(int by);
  void choose_kind();
  void set_filter();

  ScreenLine draw_title(size_t columns) const;
  ScreenLine draw_last(size_t columns) const;
  std::vector<Column> process_columns(const std::vector<const TopProcessRow*>& rows) const;
  std::vector<Column> site_columns(const std::vector<const TopSiteRow*>& rows, size_t columns) const;
  void draw_processes(std::vector<ScreenLine>& out, size_t lines, size_t columns);
  void draw_selected(std::vector<ScreenLine>& out, size_t columns) const;
  void draw_sites(std::vector<ScreenLine>& out, size_t lines, size_t columns);
  void draw_stack(std::vector<ScreenLine>& out, size_t lines, size_t columns) const;
  void draw_page(std::vector<ScreenLine>& out, size_t lines, size_t columns);
  std::string describe_selected() const;
  std::vector<std::string> describe_kinds(const TopProcessRow& row, size_t columns) const;
  std::string describe_list(Focus list) const;

  uint64_t delay_ns_;
  PathShortener paths_;
  TopProcesses processes_;
  std::map<std::string, TopSites> sites_;

  bool is_frozen_ = false;
  Focus focus_ = Focus::processes;
  Page page_ = Page::lists;
  Prompt prompt_ = Prompt::none;
  std::string typed_;
  std::string message_;
  std::string process_key_;  ///< selected
  std::string site_key_;     ///< selected
  Cursor process_cursor_, site_cursor_;
  size_t page_top_ = 0;
  size_t page_lines_ = 1;  ///< of a list or page, as it was drawn last
  size_t process_order_ = 0, site_order_ = 0;
  bool is_reversed_[2] = {};
  std::optional<ledger::Kind> kind_;
  std::string filters_[2];
  std::optional<Pattern> patterns_[2];
};

}  // namespace unfreed::render
