#include "settings/suppressions.h"

#include "base/scan.h"

namespace unfreed::report {

namespace {

constexpr auto kForm = list_kinds("a suppression has the form kind:pattern; kinds are ", ", ").add(", leak and *");
constexpr auto kNotAKind = list_kinds("unknown kind; expected ", ", ").add(", leak and *");

bool is_hexadecimal(std::string_view text) {
  for (char character : text)
    if (!base::is_digit(character) && !(character >= 'a' && character <= 'f') &&
        !(character >= 'A' && character <= 'F'))
      return false;
  return !text.empty() && text.size() <= 16;
}

bool starts_with(std::string_view text, std::string_view start) { return base::slice(text, 0, start.size()) == start; }

/// Reads one line that is neither blank nor a comment.
const char* parse_line(std::string_view line, Suppression& out) {
  size_t colon = line.find(':');
  if (colon == std::string_view::npos) return kForm.text;
  std::string_view kind = base::trimmed(base::slice(line, 0, colon));
  out.text = line;
  out.pattern = base::trimmed(base::slice(line, colon + 1));
  if (kind == "*") {
    out.any_kind = true;
  } else if (kind == "leak") {
    out.kind = ledger::Kind::heap;
    out.substring = true;
  } else if (!kind_from_name(kind, out.kind)) {
    return kNotAKind.text;
  }
  if (!out.substring && starts_with(out.pattern, "signature:")) {
    out.signature = true;
    out.pattern = base::trimmed(base::slice(out.pattern, std::string_view("signature:").size()));
    if (!is_hexadecimal(out.pattern)) return "a signature is 1 to 16 hexadecimal digits";
  }
  if (out.pattern.empty()) return "the pattern is missing";
  return nullptr;
}

/// Matches one character against the bracket expression at pattern[at] ('['). `next` receives the position after it.
/// An expression without end is taken as a literal '['.
bool matches_bracket(std::string_view pattern, size_t at, char character, size_t& next) {
  size_t position = at + 1;
  bool negated = position < pattern.size() && (pattern[position] == '!' || pattern[position] == '^');
  if (negated) ++position;
  bool found = false;
  for (bool first = true; position < pattern.size() && (first || pattern[position] != ']'); first = false) {
    if (pattern[position] == '\\' && position + 1 < pattern.size()) ++position;
    auto low = static_cast<unsigned char>(pattern[position++]);
    auto high = low;
    if (position + 1 < pattern.size() && pattern[position] == '-' && pattern[position + 1] != ']') {
      ++position;
      if (pattern[position] == '\\' && position + 1 < pattern.size()) ++position;
      high = static_cast<unsigned char>(pattern[position++]);
    }
    auto value = static_cast<unsigned char>(character);
    if (low <= value && value <= high) found = true;
  }
  if (position >= pattern.size()) {
    next = at + 1;
    return character == '[';
  }
  next = position + 1;
  return found != negated;
}

/// Matches the single-character element at pattern[at] (anything but '*').
bool matches_one(std::string_view pattern, size_t at, char character, size_t& next) {
  next = at + 1;
  switch (pattern[at]) {
    case '?':
      return true;
    case '[':
      return matches_bracket(pattern, at, character, next);
    case '\\':
      if (at + 1 == pattern.size()) return character == '\\';
      next = at + 2;
      return pattern[at + 1] == character;
    default:
      return pattern[at] == character;
  }
}

/// `open_end`: the name may go on after the pattern's end.
bool matches_from(std::string_view pattern, std::string_view name, bool open_start, bool open_end) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  size_t pattern_at = 0;
  size_t name_at = 0;
  // Where to go on after a mismatch: only the last '*' need ever be tried again, so time is at most |pattern|·|name|.
  size_t star_pattern = open_start ? 0 : kNone;
  size_t star_name = 0;
  while (true) {
    if (pattern_at == pattern.size() && (open_end || name_at == name.size())) return true;
    if (pattern_at < pattern.size() && pattern[pattern_at] == '*') {
      star_pattern = ++pattern_at;
      star_name = name_at;
      continue;
    }
    size_t next = 0;
    if (pattern_at < pattern.size() && name_at < name.size() && matches_one(pattern, pattern_at, name[name_at], next)) {
      pattern_at = next;
      ++name_at;
      continue;
    }
    if (star_pattern == kNone || star_name >= name.size()) return false;
    pattern_at = star_pattern;
    name_at = ++star_name;
  }
}

}  // namespace

bool parse_suppressions(std::string_view text, std::span<Suppression> out, size_t& count, ParseError& error,
                        size_t& line) {
  error = {};
  line = 0;
  std::string_view rest = text;
  for (bool more = true; more;) {
    std::string_view written = base::trimmed(base::next_part(rest, '\n', more));
    ++line;
    if (written.empty() || written.front() == '#') continue;
    size_t position = static_cast<size_t>(written.data() - text.data());
    if (count >= out.size()) {
      error = {position, written.size(), "more suppressions than can be kept (1024)"};
      return false;
    }
    Suppression suppression;
    if (const char* message = parse_line(written, suppression)) {
      error = {position, written.size(), message};
      return false;
    }
    out[count++] = suppression;
  }
  return true;
}

bool matches_pattern(std::string_view pattern, std::string_view name) {
  return matches_from(pattern, name, false, false);
}

bool matches(const Suppression& suppression, std::string_view name) {
  if (suppression.signature || name.empty()) return false;
  if (!suppression.substring) return matches_pattern(suppression.pattern, name);
  // LeakSanitizer's templates: '*' anywhere, '^' and '$' tie to the start and the end.
  std::string_view pattern = suppression.pattern;
  bool tied_start = starts_with(pattern, "^");
  if (tied_start) pattern.remove_prefix(1);
  bool tied_end = !pattern.empty() && pattern.back() == '$';
  if (tied_end) pattern.remove_suffix(1);
  return matches_from(pattern, name, !tied_start, !tied_end);
}

}  // namespace unfreed::report
