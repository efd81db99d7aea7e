#include "render/function_names.h"

#include <vector>

namespace unfreed::render {

namespace {

/// From here on parameters say less than they take.
constexpr size_t kLongName = 100;

/// Where the bracket that opens at `open` closes; npos: nowhere. "operator<", "->" and the like are no brackets.
size_t closing(std::string_view text, size_t open) {
  std::vector<char> awaited;
  for (size_t at = open; at < text.size(); ++at) {
    switch (text[at]) {
      case '<':
        awaited.push_back('>');
        break;
      case '(':
        awaited.push_back(')');
        break;
      case '{':
        awaited.push_back('}');
        break;
      case '[':
        awaited.push_back(']');
        break;
      case '>':
        if (at && text[at - 1] == '-') break;
        [[fallthrough]];
      case ')':
      case '}':
      case ']':
        if (awaited.empty() || awaited.back() != text[at]) return std::string_view::npos;
        awaited.pop_back();
        if (awaited.empty()) return at;
        break;
      default:
        break;
    }
  }
  return std::string_view::npos;
}

}  // namespace

std::string fit_function(std::string_view name) {
  std::string text(name);
  if (text.size() <= kLongName) return text;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '<' && !std::string_view(text).substr(0, at).ends_with("operator")) {
      size_t end = closing(text, at);
      if (end == std::string::npos) return text;
      at = end;
    } else if (text[at] == '(') {
      size_t end = closing(text, at);
      if (end == std::string::npos) return text;
      std::string_view rest = std::string_view(text).substr(end + 1);
      bool is_last = rest.empty() || rest.starts_with(" const") || rest.starts_with(" &") || rest.starts_with(" [");
      bool has_some = end > at + 1;
      if (is_last && has_some) return text.substr(0, at + 1) + "…" + text.substr(end);
      at = end;
    }
  }
  return text;
}

}  // namespace unfreed::render
