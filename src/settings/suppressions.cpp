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

/// Takes a last word " max=N" off the line. False: it is none that can be read.
bool take_limit(std::string_view& line, std::optional<uint64_t>& most) {
  size_t blank = line.find_last_of(" \t");
  if (blank == line.npos || !starts_with(base::slice(line, blank + 1), "max=")) return true;
  uint64_t value = 0;
  if (!base::parse_number(base::slice(line, blank + 1 + std::string_view("max=").size()), value)) return false;
  most = value;
  line = base::trimmed(base::slice(line, 0, blank));
  return true;
}

/// Reads one line that is neither blank nor a comment.
const char* parse_line(std::string_view line, Suppression& out) {
  size_t colon = line.find(':');
  if (colon == std::string_view::npos) return kForm.text;
  std::string_view kind = base::trimmed(base::slice(line, 0, colon));
  out.text = line;
  if (!take_limit(line, out.most)) return "max= wants a whole number";
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

constexpr const char* kUnfinished = "the block that '{' begins has no end";

/// The kinds of `match-leak-kinds: definite,possible`.
uint8_t parse_leak_kinds(std::string_view list) {
  uint8_t kinds = 0;
  for (bool more = true; more;) {
    std::string_view kind = base::trimmed(base::next_part(list, ',', more));
    kinds |= kind == "definite"    ? Suppression::kDefinite
             : kind == "indirect"  ? Suppression::kIndirect
             : kind == "possible"  ? Suppression::kPossible
             : kind == "reachable" ? Suppression::kReachable
             : kind == "all"       ? Suppression::kAllLeakKinds
                                   : 0;
  }
  return kinds;
}

/// What follows the tool's name in "Memcheck,Addrcheck:Leak" or "CoreError:FdNotClosed". False: nothing of ours.
bool read_valgrind_kind(std::string_view line, ledger::Kind& kind) {
  size_t colon = line.find(':');
  if (colon == line.npos) return false;
  std::string_view what = base::trimmed(base::slice(line, colon + 1));
  std::string_view tools = base::slice(line, 0, colon);
  kind = what == "Leak" ? ledger::Kind::heap : ledger::Kind::fd;
  bool is_of_memcheck = false;
  for (bool more = true; more;) is_of_memcheck |= base::trimmed(base::next_part(tools, ',', more)) == "Memcheck";
  return (what == "Leak" && is_of_memcheck) || what == "FdNotClosed";
}

/// Reads a block in Valgrind's form, from behind its '{'; `line` counts its lines. `is_ours` is false for findings that
/// unfreed does not make.
const char* parse_block(std::string_view& rest, bool& more, size_t& line, Suppression& out, bool& is_ours) {
  size_t header_lines = 0;
  out.valgrind = true;
  while (more) {
    std::string_view written = base::trimmed(base::next_part(rest, '\n', more));
    ++line;
    if (written.empty() || written.front() == '#') continue;
    if (written == "}") {
      if (header_lines < 2) return "a suppression in Valgrind's form begins with a name and TOOL:KIND";
      if (is_ours && out.pattern.empty()) return "a suppression in Valgrind's form needs a frame";
      return nullptr;
    }
    constexpr std::string_view kLeakKinds = "match-leak-kinds:";
    if (header_lines++ == 0) {
      out.text = written;
    } else if (header_lines == 2) {
      is_ours = read_valgrind_kind(written, out.kind);
    } else if (starts_with(written, kLeakKinds)) {
      out.leak_kinds = parse_leak_kinds(base::slice(written, kLeakKinds.size()));
    } else if (is_ours) {
      bool is_frame = written == "..." || starts_with(written, "fun:") || starts_with(written, "obj:") ||
                      starts_with(written, "src:");
      if (!is_frame) return "a frame in Valgrind's form begins with fun:, obj: or src:, or is '...'";
      const char* start = out.pattern.empty() ? written.data() : out.pattern.data();
      out.pattern = {start, static_cast<size_t>(written.data() + written.size() - start)};
    }
  }
  return kUnfinished;
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
    bool is_ours = true;
    const char* message =
        written == "{" ? parse_block(rest, more, line, suppression, is_ours) : parse_line(written, suppression);
    if (message) {
      error = {position, written.size(), message};
      return false;
    }
    if (is_ours) out[count++] = suppression;
  }
  return true;
}

bool matches_pattern(std::string_view pattern, std::string_view name) {
  return matches_from(pattern, name, false, false);
}

bool matches(const Suppression& suppression, std::string_view name) {
  if (suppression.signature || suppression.valgrind || name.empty()) return false;
  if (!suppression.substring) return matches_pattern(suppression.pattern, name);
  // LeakSanitizer's templates: '*' anywhere, '^' and '$' tie to the start and the end.
  std::string_view pattern = suppression.pattern;
  bool tied_start = starts_with(pattern, "^");
  if (tied_start) pattern.remove_prefix(1);
  bool tied_end = !pattern.empty() && pattern.back() == '$';
  if (tied_end) pattern.remove_suffix(1);
  return matches_from(pattern, name, !tied_start, !tied_end);
}

uint64_t signature_of(const Suppression& suppression) {
  uint64_t value = 0;
  for (char digit : suppression.signature ? suppression.pattern : std::string_view()) {
    int part = base::is_digit(digit) ? digit - '0' : (digit | 0x20) - 'a' + 10;
    value = value << 4 | static_cast<uint64_t>(part & 15);
  }
  return value;
}

FrameMatcher::FrameMatcher(const Suppression& suppression) {
  std::string_view rest = suppression.pattern;
  for (bool more = true; more;) {
    std::string_view element = base::trimmed(base::next_part(rest, '\n', more));
    if (element.empty() || element.front() == '#') continue;
    if (count_ == kMostFrames) break;  // a stack that matches as far as that is the same
    elements_[count_++] = element;
  }
  skip_rows();
}

/// "..." may stand for no frame.
void FrameMatcher::skip_rows() {
  for (size_t at = 0; at < count_; ++at)
    if ((reached_ >> at & 1) && elements_[at] == "...") reached_ |= uint32_t{1} << (at + 1);
}

bool FrameMatcher::is_matched_by(std::string_view element, const Frame& frame) {
  std::string_view pattern = base::trimmed(base::slice(element, 4));
  if (starts_with(element, "obj:")) return !frame.module.empty() && matches_pattern(pattern, frame.module);
  if (starts_with(element, "fun:")) {
    for (std::string_view name : frame.functions)
      if (!name.empty() && matches_pattern(pattern, name)) return true;
    return false;
  }
  size_t colon = pattern.rfind(':');
  uint64_t line = 0;
  if (colon != pattern.npos && base::parse_number(base::slice(pattern, colon + 1), line)) {
    if (line != frame.line) return false;
    pattern = base::slice(pattern, 0, colon);
  }
  return !frame.file.empty() && matches_pattern(pattern, base::base_name(frame.file));
}

void FrameMatcher::step(const Frame& frame) {
  if (has_matched()) return;
  uint32_t before = reached_;
  reached_ = frame.inlined ? before : 0;
  for (size_t at = 0; at < count_; ++at) {
    if (!(before >> at & 1)) continue;
    bool is_row = elements_[at] == "...";
    if (is_row) reached_ |= uint32_t{1} << at;
    if (!is_row && is_matched_by(elements_[at], frame)) reached_ |= uint32_t{1} << (at + 1);
  }
  skip_rows();
}

}  // namespace unfreed::report
