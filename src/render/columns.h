// Tables in text: columns as wide as what they hold.
// Internal to this folder.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace unfreed::render {

struct Column {
  std::string title;
  bool is_right = false;
  std::vector<std::string> cells;
  size_t width() const;
};

/// A line for the titles and one for each row, of at most `most` columns. Columns without anything are left out; the
/// last one may be as long as the line has room.
std::vector<std::string> lay_out(std::vector<Column> columns, size_t most);

}  // namespace unfreed::render
