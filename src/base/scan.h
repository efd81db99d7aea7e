// Small text helpers shared by the parsers of rules, settings and suppressions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/text.h"

namespace unfreed::base {

inline bool is_blank(char character) { return character == ' ' || character == '\t'; }
inline bool is_digit(char character) { return character >= '0' && character <= '9'; }

/// `text` without blanks (and line ends) around it.
inline std::string_view trimmed(std::string_view text) {
  auto removable = [](char character) { return is_blank(character) || character == '\r' || character == '\n'; };
  while (!text.empty() && removable(text.front())) text.remove_prefix(1);
  while (!text.empty() && removable(text.back())) text.remove_suffix(1);
  return text;
}

/// Removes the part before the next `separator` from `rest` (all of it if there is none). Call while `more` is true:
///     for (bool more = true; more;) { auto part = next_part(rest, ',', more); … }
inline std::string_view next_part(std::string_view& rest, char separator, bool& more) {
  size_t end = rest.find(separator);
  more = end != std::string_view::npos;
  std::string_view part = more ? slice(rest, 0, end) : rest;
  rest = more ? slice(rest, end + 1) : std::string_view();
  return part;
}

/// 1024, its square or its cube for K, M and G, in either case; 1 for anything else.
constexpr uint64_t unit_of(char letter) {
  switch (letter | 0x20) {
    case 'k':
      return 1u << 10;
    case 'm':
      return 1u << 20;
    case 'g':
      return 1u << 30;
    default:
      return 1;
  }
}

/// Removes the decimal digits at the beginning of `text` and reads them. False, and nothing is changed, if there are
/// none or the number does not fit.
inline bool take_number(std::string_view& text, uint64_t& out) {
  uint64_t value = 0;
  size_t at = 0;
  for (; at < text.size() && is_digit(text[at]); ++at) {
    if (__builtin_mul_overflow(value, uint64_t{10}, &value)) return false;
    if (__builtin_add_overflow(value, static_cast<uint64_t>(text[at] - '0'), &value)) return false;
  }
  if (at == 0) return false;
  text.remove_prefix(at);
  out = value;
  return true;
}

/// Reads all of `text` as a decimal number. False if it is empty, contains anything else, or does not fit.
inline bool parse_number(std::string_view text, uint64_t& out) {
  uint64_t value = 0;
  if (!take_number(text, value) || !text.empty()) return false;
  out = value;
  return true;
}

/// Reads all of `text` as the number of a process, thread or descriptor, 0 to INT32_MAX; −1 if it is none.
inline int parse_id(std::string_view text) {
  uint64_t number = 0;
  return parse_number(text, number) && number <= INT32_MAX ? static_cast<int>(number) : -1;
}

/// Calls `visit(number)` for each of the processes or threads in a list that blanks separate, as /proc writes it.
template <class Visit>
void each_id(std::string_view list, Visit visit) {
  for (bool more = true; more;)
    if (int id = parse_id(trimmed(next_part(list, ' ', more))); id > 0) visit(id);
}

/// Removes the hexadecimal digits, in lower case, at the beginning of `text` and reads them. False if there are none.
inline bool take_hexadecimal(std::string_view& text, uint64_t& out) {
  size_t at = 0;
  for (out = 0; at < text.size(); ++at) {
    bool is_letter = text[at] >= 'a' && text[at] <= 'f';
    if (!is_digit(text[at]) && !is_letter) break;
    out = out << 4 | static_cast<uint64_t>(is_letter ? text[at] - 'a' + 10 : text[at] - '0');
  }
  text.remove_prefix(at);
  return at != 0;
}

}  // namespace unfreed::base
