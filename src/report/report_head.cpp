#include "report/report_head.h"

#include "base/scan.h"
#include "settings/rules.h"

namespace unfreed::report {

namespace {

constexpr std::string_view kBlanks = " \t\r\n";

/// Reads JSON as far as it must: what it looks for is at known places, however the text is formatted.
class Scan {
 public:
  explicit Scan(std::string_view text) : rest_(text) {}

  bool take(std::string_view token) {
    skip_blanks();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  /// "key" and its colon.
  bool take_key(std::string_view quoted) { return take(quoted) && take(":"); }

  std::string_view take_number() {
    skip_blanks();
    size_t size = 0;
    while (size < rest_.size() && base::is_digit(rest_[size])) ++size;
    std::string_view number = base::slice(rest_, 0, size);
    rest_.remove_prefix(size);
    return number;
  }

  /// A text without escapes, cut by nothing; "" where there is none.
  std::string_view take_text() {
    if (!take("\"")) return {};
    size_t end = rest_.find('"');
    std::string_view text = end == rest_.npos ? std::string_view() : base::slice(rest_, 0, end);
    return text.find('\\') == text.npos ? text : std::string_view();
  }

  /// Goes on behind the key, wherever it is. A text that looks like one has a backslash before its quotes.
  bool find_key(std::string_view quoted) {
    for (std::string_view from = rest_;; from.remove_prefix(1)) {
      size_t at = from.find(quoted);
      if (at == from.npos) return false;
      from.remove_prefix(at);
      Scan here(from);
      if (!here.take_key(quoted)) continue;
      rest_ = here.rest_;
      return true;
    }
  }

  std::string_view rest() const { return rest_; }

 private:
  void skip_blanks() {
    while (!rest_.empty() && kBlanks.find(rest_.front()) != kBlanks.npos) rest_.remove_prefix(1);
  }

  std::string_view rest_;
};

bool is_json_report(Scan json) {
  return json.take("{") && json.take_key("\"schema_version\"") && !json.take_number().empty() && json.take(",") &&
         json.take_key("\"tool\"") && json.take("{") && json.take_key("\"name\"") && json.take("\"unfreed\"");
}

bool is_page(std::string_view text) { return text.starts_with(kPageStart); }

/// "unfreed: service (pid 4032) ended with …"
bool is_text(std::string_view text) {
  std::string_view line = base::slice(text, 0, text.find('\n'));
  return line.starts_with("unfreed: ") && line.find(" (pid ") != line.npos;
}

bool is_workflow_command(std::string_view text) {
  std::string_view line = base::slice(text, 0, text.find('\n'));
  return line.starts_with("::") && line.find("title=unfreed%3A ") != line.npos;
}

/// gzip's header with a comment and nothing else that is optional (RFC 1952).
bool is_profile(std::string_view bytes) {
  constexpr size_t kFlags = 3;
  constexpr size_t kHeader = 10;
  constexpr char kHasComment = 0x10;
  return bytes.size() > kHeader && bytes.starts_with("\x1f\x8b") && bytes[kFlags] == kHasComment &&
         base::slice(bytes, kHeader, bytes.size()).starts_with(kProfileComment);
}

/// "fd;main;open_log 25": the first frame is what a rule about call sites could name.
bool is_folded_line(std::string_view line) {
  size_t name = line.find(';');
  size_t number = line.rfind(' ');
  uint64_t value = 0;
  if (name == line.npos || number == line.npos || number < name ||
      !base::parse_number(base::slice(line, number + 1, line.size()), value))
    return false;
  base::FixedText<64> rule;
  rule.add("site.").add(base::slice(line, 0, name)).add(">0");
  RuleSet rules;
  ParseError error;
  return !rule.cut() && parse_rules(rule.text(), rules, error) && rules.count == 1;
}

/// All lines that are there as a whole.
bool is_folded(std::string_view text) {
  bool more = text.find('\n') != text.npos;
  bool is_one = more;
  while (more && is_one) {
    std::string_view line = base::next_part(text, '\n', more);
    if (more) is_one = is_folded_line(line);
  }
  return is_one;
}

bool is_in_other_format(std::string_view bytes) {
  for (std::string_view start :
       {kSarifStart, kJunitStart, kMarkdownStart, kCsvStart, kCodeQualityStart, kOpenMetricsStart, kPerfettoStart})
    if (bytes.starts_with(start)) return true;
  return bytes == kNoCodeQuality || is_workflow_command(bytes) || is_profile(bytes) || is_folded(bytes);
}

/// A member of the process's object, which may stand before or behind others.
Scan member(const Scan& process, std::string_view quoted) {
  Scan at = process;
  return at.find_key(quoted) ? at : Scan({});
}

void read_author(std::string_view json, ReportHead& head) {
  Scan process(json);
  do {
    // Children have a member of that name, too: a number.
    if (!process.find_key("\"process\"")) return;
  } while (!process.take("{"));
  uint64_t pid = 0;
  if (base::parse_number(member(process, "\"pid\"").take_number(), pid) && pid <= INT32_MAX)
    head.pid = static_cast<int>(pid);
  head.started = member(process, "\"started\"").take_text();
  head.run = member(process, "\"run\"").take_text();
}

}  // namespace

ReportHead read_head(std::string_view bytes) {
  ReportHead head;
  if (bytes.empty()) {
    head.content = Content::nothing;
  } else if (is_json_report(Scan(bytes))) {
    head.content = Content::report;
    read_author(bytes, head);
  } else if (is_page(bytes) || is_text(bytes) || is_in_other_format(bytes)) {
    head.content = Content::report;
  }
  return head;
}

}  // namespace unfreed::report
