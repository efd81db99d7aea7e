#include "render/columns.h"

#include <algorithm>

#include "render/function_names.h"

namespace unfreed::render {

namespace {

std::string pad(const std::string& text, size_t width, bool is_right) {
  std::string spaces(width - std::min(width, columns_of(text)), ' ');
  return is_right ? spaces + text : text + spaces;
}

}  // namespace

size_t Column::width() const {
  size_t width = columns_of(title);
  for (const std::string& one : cells) width = std::max(width, columns_of(one));
  return width;
}

std::vector<std::string> lay_out(std::vector<Column> columns, size_t most) {
  std::erase_if(columns, [](const Column& one) {
    return std::all_of(one.cells.begin(), one.cells.end(), [](const std::string& cell) { return cell.empty(); });
  });
  std::vector<std::string> lines;
  if (columns.empty()) return lines;
  std::vector<size_t> widths;
  widths.reserve(columns.size());
  for (const Column& one : columns) widths.push_back(one.width());
  for (size_t row = 0; row <= columns[0].cells.size(); ++row) {
    std::string line = " ";
    for (size_t at = 0; at < columns.size(); ++at) {
      const std::string cell = row ? columns[at].cells[row - 1] : columns[at].title;
      bool is_last = at + 1 == columns.size();
      line += " " + (is_last ? cell : pad(cell, widths[at], columns[at].is_right) + " ");
    }
    lines.push_back(cut_to(line, most));
  }
  return lines;
}

}  // namespace unfreed::render
