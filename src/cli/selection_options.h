// Options of commands that show reports: which part of one, and in what order (render/selection.h).
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/ledger_report.h"
#include "render/selection.h"

namespace unfreed::cli {

class SelectionOptions {
 public:
  void add_options(Parser& parser);
  /// Of two reports: --sort, --min and --top are about changes.
  void add_options_for_changes(Parser& parser);
  /// --by.
  void add_grouping(Parser& parser, const char* help);
  /// False: one of them cannot be read, and a line has been printed.
  bool read();
  const render::Selection& selection() const { return selection_; }
  /// Returns the line that says what is not shown; "" if all is.
  std::string apply(OwnedReport& report) const;
  /// The same without what is about single call sites or groups: --sort, --min and --top.
  std::string filter(OwnedReport& report) const;
  /// Was --by given, be it --by site?
  bool is_grouped() const { return !by_.empty(); }
  /// Heap blocks of call sites that match, which option --why selects. False: a line has been printed.
  bool select_heap(const std::string& pattern);

 private:
  void add_filters(Parser& parser);
  bool read_kinds();
  bool read_numbers();

  std::string older_;
  std::vector<std::string> kinds_;
  std::string pattern_;
  std::string thread_;
  std::string min_;
  std::string top_;
  std::string order_;
  std::string by_;
  render::Selection selection_;
};

/// "accepted is fd, heap, …; did you mean 'fd'?"
std::string list_words(const std::string& given, const std::vector<std::string>& words);

/// A whole number from 1 on. False: `text` is none.
bool read_positive(const std::string& text, uint64_t& number);

}  // namespace unfreed::cli
