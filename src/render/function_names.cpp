#include "render/function_names.h"

#include <algorithm>
#include <vector>

namespace unfreed::render {

namespace {

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

namespace {

bool is_bracket(char character) { return std::string_view("<({[").find(character) != std::string_view::npos; }
bool is_operator(std::string_view before) { return before.ends_with("operator") || before.ends_with("operator<"); }

/// The last parameter list as "(…)". The text itself where it has none.
std::string without_parameters(const std::string& text) {
  for (size_t at = 0; at < text.size(); ++at) {
    bool is_list = text[at] == '<' && !is_operator(std::string_view(text).substr(0, at));
    if (!is_list && text[at] != '(') continue;
    size_t end = closing(text, at);
    if (end == std::string::npos) return text;
    std::string_view rest = std::string_view(text).substr(end + 1);
    bool is_last = rest.empty() || rest.starts_with(" const") || rest.starts_with(" &") || rest.starts_with(" [");
    if (!is_list && is_last && end > at + 1) return text.substr(0, at + 1) + "…" + text.substr(end);
    at = end;
  }
  return text;
}

/// Template arguments as "<…>".
std::string without_arguments(const std::string& text) {
  std::string shorter;
  for (size_t at = 0; at < text.size(); ++at) {
    bool is_list = text[at] == '<' && at && !is_operator(shorter);
    size_t end = is_list ? closing(text, at) : std::string::npos;
    if (end == std::string::npos) {
      shorter += text[at];
      continue;
    }
    shorter += "<…>";
    at = end;
  }
  return shorter;
}

/// What stands before the name of a template's instance: the type that it returns.
std::string without_result(const std::string& text) {
  size_t start = 0;
  for (size_t at = 0; at < text.size() && text[at] != '('; ++at) {
    if (text[at] == ' ' && !std::string_view(text).substr(0, at).ends_with("operator")) start = at + 1;
    if (text[at] == '<' || text[at] == '{') {
      size_t end = closing(text, at);
      if (end == std::string::npos) return text;
      at = end;
    }
  }
  return text.substr(start);
}

}  // namespace

size_t columns_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xc0) != 0x80; }));
}

std::string cut_to(std::string_view text, size_t columns) {
  if (columns_of(text) <= columns) return std::string(text);
  size_t end = 0;
  for (size_t left = columns ? columns - 1 : 0; left && end < text.size(); --left) do
      ++end;
    while (end < text.size() && (text[end] & 0xc0) == 0x80);
  return std::string(text.substr(0, end)) + "…";
}

std::string fit_function(std::string_view name, size_t columns) {
  std::string text(name);
  for (auto* shorten : {without_parameters, without_arguments, without_result}) {
    if (columns_of(text) <= columns) return text;
    text = shorten(text);
  }
  return cut_to(text, columns);
}

std::string fit_type(std::string_view name, size_t columns) {
  constexpr std::string_view kMadeShared[] = {"std::_Sp_counted_ptr_inplace<",     // libstdc++
                                              "std::__1::__shared_ptr_emplace<"};  // libc++
  for (std::string_view start : kMadeShared) {
    if (!name.starts_with(start)) continue;
    size_t from = start.size(), at = from;
    for (; at < name.size() && name[at] != ',' && name[at] != '>'; ++at)
      if (size_t end = is_bracket(name[at]) ? closing(name, at) : std::string_view::npos; end != std::string_view::npos)
        at = end;
    return fit_function(name.substr(from, at - from), columns);
  }
  return fit_function(name, columns);
}

}  // namespace unfreed::render
