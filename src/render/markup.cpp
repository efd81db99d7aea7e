#include "render/markup.h"

#include <fmt/format.h>

#include <algorithm>

#include "render/paths.h"

namespace unfreed::render {

std::string escape_markup(std::string_view text) {
  std::string out;
  for (char character : printable(text)) {
    switch (character) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += character;
    }
  }
  return out;
}

std::string escape_lines(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    out += escape_markup(text.substr(0, end));
    if (end < text.size()) out += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

namespace {
/// The longest row of backquotes in a text.
size_t longest_quotes(std::string_view text) {
  size_t longest = 0;
  size_t row = 0;
  for (char character : text) {
    row = character == '`' ? row + 1 : 0;
    longest = std::max(longest, row);
  }
  return longest;
}
}  // namespace

std::string as_code(std::string_view text) {
  std::string quotes(longest_quotes(text) + 1, '`');
  bool needs_room = text.starts_with('`') || text.ends_with('`');
  return fmt::format("{0}{2}{1}{2}{0}", quotes, text, needs_room ? " " : "");
}

std::string as_block(std::string_view text) {
  std::string fence(std::max<size_t>(longest_quotes(text) + 1, 3), '`');
  return fmt::format("{0}text\n{1}{2}{0}\n", fence, text, text.ends_with('\n') ? "" : "\n");
}

}  // namespace unfreed::render
