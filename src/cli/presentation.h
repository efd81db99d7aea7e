// How commands that print reports do it on a terminal: colours, width, pager, as Git does.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "cli/command.h"
#include "cli/text_file.h"

namespace unfreed::cli {

class Presentation {
 public:
  /// --output, --force, --color and --no-pager.
  void add_options(Parser& parser);

  bool is_terminal() const;
  bool has_colour() const;
  /// Of the longest line: the terminal's width; where it is none, what fits a report.
  size_t columns() const;

  /// Writes the text where it was asked for, on a terminal through a pager. False: a line has been printed.
  bool show(std::string_view text) const;

 private:
  std::string output_ = "-";
  OutputOptions options_;
  std::string colour_ = "auto";
  bool no_pager_ = false;
};

}  // namespace unfreed::cli
