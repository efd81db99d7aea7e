#include "report/rules.h"

#include "report/scan.h"

namespace unfreed::report {

namespace {

using ledger::Kind;

#define UNFREED_RULE_KINDS "fd, heap, thread, child, misuse or inherited_by_child"

constexpr std::string_view kKindNames[ledger::kKindCount] = {"fd", "heap", "thread", "child", "mapping"};

struct FieldName {
  std::string_view name;
  Field field;
};
constexpr FieldName kFieldNames[] = {
    {"live", Field::live},           {"bytes", Field::bytes},
    {"total", Field::total},         {"total_bytes", Field::total_bytes},
    {"peak", Field::peak},           {"unattributed", Field::unattributed},
    {"inherited", Field::inherited}, {"running", Field::running},
};

constexpr uint32_t bit(Field field) { return 1u << static_cast<uint32_t>(field); }

/// The fields a rule about a kind may name; 0 for kinds that are not tracked by this version.
struct KindFields {
  uint32_t process;
  uint32_t per_site;
  const char* bad_field;
  const char* bad_site_field;
};
constexpr KindFields kKindFields[ledger::kKindCount] = {
    {bit(Field::live) | bit(Field::total) | bit(Field::peak) | bit(Field::unattributed) | bit(Field::inherited),
     bit(Field::live) | bit(Field::total) | bit(Field::peak),
     "fd has the fields live, total, peak, unattributed and inherited", "site.fd has the fields live, total and peak"},
    {bit(Field::live) | bit(Field::bytes) | bit(Field::total) | bit(Field::total_bytes),
     bit(Field::live) | bit(Field::bytes) | bit(Field::total) | bit(Field::total_bytes),
     "heap has the fields live, bytes, total and total_bytes",
     "site.heap has the fields live, bytes, total and total_bytes"},
    {bit(Field::live) | bit(Field::total) | bit(Field::peak) | bit(Field::running) | bit(Field::unattributed),
     bit(Field::live) | bit(Field::total) | bit(Field::peak) | bit(Field::running),
     "thread has the fields live, total, peak, running and unattributed",
     "site.thread has the fields live, total, peak and running"},
    {bit(Field::live) | bit(Field::total) | bit(Field::peak) | bit(Field::running) | bit(Field::unattributed),
     bit(Field::live) | bit(Field::total) | bit(Field::peak) | bit(Field::running),
     "child has the fields live, total, peak, running and unattributed",
     "site.child has the fields live, total, peak and running"},
    {0, 0, nullptr, nullptr},
};

bool is_word(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') || character == '_' ||
         character == '-' || is_digit(character);
}

/// Reads one rule of a longer text; positions in errors are relative to that text.
class RuleParser {
 public:
  RuleParser(std::string_view text, size_t position, size_t end, ParseError& error)
      : text_(text), position_(position), end_(end), error_(error) {}

  bool parse(Rule& rule) {
    if (!parse_subject(rule)) return false;
    skip_blanks();
    if (!parse_operator(rule)) return false;
    skip_blanks();
    if (!parse_limit(rule)) return false;
    skip_blanks();
    if (position_ != end_)
      return fail(position_, end_ - position_, "unexpected after the rule; rules are separated by ','");
    return true;
  }

 private:
  bool fail(size_t position, size_t length, const char* message) {
    error_ = {position, length, message};
    return false;
  }
  void skip_blanks() {
    while (position_ < end_ && is_blank(text_[position_])) ++position_;
  }
  std::string_view word() {
    size_t start = position_;
    while (position_ < end_ && is_word(text_[position_])) ++position_;
    return slice(text_, start, position_ - start);
  }
  bool take(char character) {
    if (position_ == end_ || text_[position_] != character) return false;
    ++position_;
    return true;
  }

  bool parse_subject(Rule& rule) {
    size_t start = position_;
    std::string_view name = word();
    if (name == "site" && take('.')) {
      rule.per_site = true;
      start = position_;
      name = word();
    }
    if (name.empty()) return fail(start, 0, "a kind is missing; accepted: " UNFREED_RULE_KINDS);
    if (name == "misuse" || name == "inherited_by_child") return parse_special(rule, name, start);
    if (!kind_from_name(name, rule.kind))
      return fail(start, name.size(), "not a kind of resource; accepted: " UNFREED_RULE_KINDS);
    if (kKindFields[static_cast<size_t>(rule.kind)].process == 0)
      return fail(start, name.size(), "this kind is not tracked yet; accepted: " UNFREED_RULE_KINDS);
    return take('.') ? parse_field(rule) : true;
  }

  bool parse_special(Rule& rule, std::string_view name, size_t start) {
    if (rule.per_site) return fail(start, name.size(), "is counted for the process only, not by site");
    rule.subject = name == "misuse" ? Subject::misuse : Subject::inherited_by_child;
    rule.kind = Kind::fd;
    if (!take('.')) return true;
    start = position_;
    name = word();
    if (name == "live") return true;
    rule.field = Field::not_open;
    if (name == "not_open" && rule.subject == Subject::misuse) return true;
    return fail(start, name.size(), "misuse has the fields live and not_open, inherited_by_child has live");
  }

  bool parse_field(Rule& rule) {
    size_t start = position_;
    std::string_view name = word();
    const KindFields& fields = kKindFields[static_cast<size_t>(rule.kind)];
    uint32_t accepted = rule.per_site ? fields.per_site : fields.process;
    for (const FieldName& candidate : kFieldNames) {
      if (candidate.name != name || !(accepted & bit(candidate.field))) continue;
      rule.field = candidate.field;
      return true;
    }
    return fail(start, name.size(), rule.per_site ? fields.bad_site_field : fields.bad_field);
  }

  bool parse_operator(Rule& rule) {
    if (!take('>')) return fail(position_, position_ < end_ ? 1 : 0, "an operator is missing; accepted: > or >=");
    rule.or_equal = take('=');
    return true;
  }

  bool parse_limit(Rule& rule) {
    size_t start = position_;
    while (position_ < end_ && is_digit(text_[position_])) ++position_;
    if (position_ == start)
      return fail(start, end_ - start, "a number is missing; accepted: a whole number, then K, M, G or nothing");
    if (!parse_number(slice(text_, start, position_ - start), rule.limit))
      return fail(start, position_ - start, "the number is too large");
    uint64_t unit = take('K') ? 1u << 10 : take('M') ? 1u << 20 : take('G') ? 1u << 30 : 1;
    if (position_ < end_ && is_word(text_[position_]))
      return fail(position_, end_ - position_, "not a unit; accepted: K, M or G (powers of 1024)");
    if (__builtin_mul_overflow(rule.limit, unit, &rule.limit))
      return fail(start, position_ - start, "the number is too large");
    return true;
  }

  std::string_view text_;
  size_t position_;
  size_t end_;
  ParseError& error_;
};

bool refuse(RuleSet& out, ParseError& error, size_t position, size_t length, const char* message) {
  out.count = 0;
  error = {position, length, message};
  return false;
}

}  // namespace

bool parse_rules(std::string_view text, RuleSet& out, ParseError& error) {
  out.count = 0;
  error = {};
  if (trimmed(text).empty()) return true;
  std::string_view rest = text;
  for (bool more = true; more;) {
    size_t position = text.size() - rest.size();
    std::string_view written = trimmed(next_part(rest, ',', more));
    if (written.empty()) return refuse(out, error, position, 0, "a rule is missing here; example: fd>0,heap.bytes>1M");
    position = static_cast<size_t>(written.data() - text.data());
    if (out.count == kMaxRules) return refuse(out, error, position, written.size(), "more than 64 rules");
    Rule rule;
    rule.text = written;
    if (!RuleParser(text, position, position + written.size(), error).parse(rule)) {
      out.count = 0;
      return false;
    }
    out.rules[out.count++] = rule;
  }
  return true;
}

std::string_view kind_name(ledger::Kind kind) {
  size_t index = static_cast<size_t>(kind);
  return index < ledger::kKindCount ? kKindNames[index] : std::string_view("unknown");
}

bool kind_from_name(std::string_view name, ledger::Kind& out) {
  for (size_t index = 0; index < ledger::kKindCount; ++index) {
    if (kKindNames[index] != name) continue;
    out = static_cast<Kind>(index);
    return true;
  }
  return false;
}

}  // namespace unfreed::report
