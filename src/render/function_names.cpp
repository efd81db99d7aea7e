#include "render/function_names.h"

#include <algorithm>
#include <vector>

namespace unfreed::render {

namespace {

/// From here on parameters say less than they take.
constexpr size_t kLongName = 100;

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

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

bool is_default_argument(std::string_view argument) {
  static constexpr std::string_view kDefaults[] = {"std::allocator<", "std::char_traits<", "std::less<",
                                                   "std::hash<",      "std::equal_to<",    "std::default_delete<"};
  return std::any_of(std::begin(kDefaults), std::end(kDefaults),
                     [&](std::string_view start) { return argument.starts_with(start); });
}

std::string without_defaults(std::string_view text);

/// The arguments of one list, shortened; defaults at its end are left away.
std::string shorten_arguments(std::string_view list) {
  std::vector<std::string> arguments;
  size_t start = 0;
  for (size_t at = 0; at <= list.size(); ++at) {
    if (at < list.size() && (list[at] == '<' || list[at] == '(' || list[at] == '{')) {
      size_t end = closing(list, at);
      if (end == std::string_view::npos) return std::string(list);
      at = end;
    } else if (at == list.size() || list[at] == ',') {
      std::string_view one = list.substr(start, at - start);
      while (one.starts_with(' ')) one.remove_prefix(1);
      while (one.ends_with(' ')) one.remove_suffix(1);
      arguments.push_back(without_defaults(one));
      start = at + 1;
    }
  }
  while (arguments.size() > 1 && is_default_argument(arguments.back())) arguments.pop_back();
  std::string text;
  for (const std::string& one : arguments) text += (text.empty() ? "" : ", ") + one;
  return text;
}

std::string without_defaults(std::string_view text) {
  std::string result;
  for (size_t at = 0; at < text.size(); ++at) {
    bool is_operator = result.ends_with("operator") || result.ends_with("operator<");
    size_t end = text[at] == '<' && !is_operator ? closing(text, at) : std::string_view::npos;
    result += text[at];
    if (end == std::string_view::npos) continue;
    result += shorten_arguments(text.substr(at + 1, end - at - 1));
    result += '>';
    at = end;
  }
  return result;
}

/// "main::{lambda(int)#1}::operator()(int) const" to "main::{lambda#1}".
std::string with_short_lambdas(std::string text) {
  constexpr std::string_view kLambda = "{lambda(";
  for (size_t at = text.find(kLambda); at != std::string::npos; at = text.find(kLambda, at + 1)) {
    size_t open = at + kLambda.size() - 1;
    size_t close = closing(text, open);
    if (close == std::string::npos) return text;
    text.erase(open, close - open + 1);
    size_t end = text.find('}', at);
    constexpr std::string_view kCall = "::operator()";
    if (end == std::string::npos || std::string_view(text).substr(end + 1, kCall.size()) != kCall) continue;
    size_t arguments = end + 1 + kCall.size();
    if (arguments < text.size() && text[arguments] == '<') arguments = closing(text, arguments) + 1;
    size_t last =
        arguments && arguments < text.size() && text[arguments] == '(' ? closing(text, arguments) : std::string::npos;
    if (last == std::string::npos) continue;
    ++last;
    if (std::string_view(text).substr(last).starts_with(" const")) last += 6;
    text.erase(end + 1, last - end - 1);
  }
  return text;
}

/// The last parameter list of a name that is long says "(…)".
std::string without_parameters(std::string text) {
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

}  // namespace

std::string short_function(std::string_view name) {
  std::string text(name);
  replace_all(text, "std::__cxx11::", "std::");
  replace_all(text, "[abi:cxx11]", "");
  text = with_short_lambdas(without_defaults(text));
  replace_all(text, "std::basic_string<char>", "std::string");
  replace_all(text, "std::basic_string_view<char>", "std::string_view");
  replace_all(text, "std::basic_ostream<char>", "std::ostream");
  replace_all(text, "std::basic_istream<char>", "std::istream");
  replace_all(text, "(anonymous namespace)::", "");
  return without_parameters(std::move(text));
}

}  // namespace unfreed::render
