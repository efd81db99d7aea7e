#include "settings/rules.h"

#include <utility>

#include "base/constant_text.h"
#include "base/scan.h"
#include "base/similar.h"

namespace unfreed::report {

namespace {

constexpr bool has_rules(Subject subject, bool per_site) {
  for (const CounterRow& row : kRows)
    if ((per_site ? row.in_site_rules : row.in_rules) & bit_of(subject)) return true;
  return false;
}

constexpr base::ConstantText<> accepted_subjects(std::string_view start, bool per_site) {
  base::ConstantText<> message(start);
  std::string_view names[kSubjectCount];
  size_t count = 0;
  for (size_t at = 0; at < kSubjectCount; ++at)
    if (has_rules(static_cast<Subject>(at), per_site)) names[count++] = kSubjects[at].name;
  return message.add_list(std::span(names).first(count), " or ");
}
constexpr auto kMissingSubject = accepted_subjects("missing kind; expected ", false);
constexpr auto kNoSubject = accepted_subjects("unknown kind; expected ", false);
constexpr auto kNoSiteSubject = accepted_subjects("is counted per process only; counted per call site: ", true);

struct CounterMessages {
  base::ConstantText<> of[kSubjectCount][2];
  constexpr CounterMessages() {
    for (size_t at = 0; at < kSubjectCount; ++at) {
      for (bool per_site : {false, true}) {
        std::string_view names[kCounterCount];
        size_t count = 0;
        for (const CounterRow& row : kRows)
          if ((per_site ? row.in_site_rules : row.in_rules) >> at & 1) names[count++] = row.name;
        base::ConstantText<>& message = of[at][per_site];
        message.add(per_site ? "site." : "");
        message.add(kSubjects[at].name);
        message.add(" has the fields ").add_list(std::span(names).first(count), " and ");
      }
    }
  }
};
constexpr CounterMessages kNoCounter;

std::string_view nearest_subject(std::string_view name, bool per_site) {
  base::Nearest nearest(name);
  for (size_t at = 0; at < kSubjectCount; ++at)
    if (has_rules(static_cast<Subject>(at), per_site)) nearest.consider(kSubjects[at].name);
  return nearest.found();
}

bool is_word(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') || character == '_' ||
         character == '-' || base::is_digit(character);
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
    error_ = {position, length, message, {}};
    return false;
  }
  void skip_blanks() {
    while (position_ < end_ && base::is_blank(text_[position_])) ++position_;
  }
  std::string_view word() {
    size_t start = position_;
    while (position_ < end_ && is_word(text_[position_])) ++position_;
    return base::slice(text_, start, position_ - start);
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
    if (name.empty()) return fail(start, 0, kMissingSubject.text);
    if (!subject_from_name(name, rule.subject)) {
      fail(start, name.size(), kNoSubject.text);
      error_.meant = nearest_subject(name, rule.per_site);
      return false;
    }
    if (!has_rules(rule.subject, rule.per_site)) return fail(start, name.size(), kNoSiteSubject.text);
    return take('.') ? parse_counter(rule) : true;
  }

  bool parse_counter(Rule& rule) {
    size_t start = position_;
    std::string_view name = word();
    for (size_t at = 0; at < kCounterCount; ++at) {
      uint32_t accepted = rule.per_site ? kRows[at].in_site_rules : kRows[at].in_rules;
      if (kRows[at].name != name || !(accepted & bit_of(rule.subject))) continue;
      rule.counter = static_cast<Counter>(at);
      return true;
    }
    return fail(start, name.size(), kNoCounter.of[index_of(rule.subject)][rule.per_site].text);
  }

  bool parse_operator(Rule& rule) {
    if (!take('>')) return fail(position_, position_ < end_ ? 1 : 0, "expected > or >=");
    rule.or_equal = take('=');
    return true;
  }

  bool parse_limit(Rule& rule) {
    size_t start = position_;
    while (position_ < end_ && base::is_digit(text_[position_])) ++position_;
    if (position_ == start)
      return fail(start, end_ - start, "expected a whole number, optionally followed by K, M or G");
    if (!base::parse_number(base::slice(text_, start, position_ - start), rule.limit))
      return fail(start, position_ - start, "the number is too large");
    uint64_t unit = position_ < end_ ? base::unit_of(text_[position_]) : 1;
    if (unit != 1) ++position_;
    if (position_ < end_ && is_word(text_[position_]))
      return fail(position_, end_ - position_, "unknown unit; expected K, M or G (powers of 1024)");
    if (__builtin_mul_overflow(rule.limit, unit, &rule.limit))
      return fail(start, position_ - start, "the number is too large");
    return rule.counter != Counter::growth || parse_time(rule, start);
  }

  bool parse_time(Rule& rule, size_t start) {
    constexpr const char* kExpected = "growth is a number per time; expected /s, /m, /h or /d after it: 10/h";
    if (!take('/')) return fail(start, position_ - start, kExpected);
    size_t unit_start = position_;
    std::string_view unit = word();
    for (auto [name, times_a_day] :
         {std::pair{"d", 1u}, {"h", 24u}, {"m", 24u * 60}, {"min", 24u * 60}, {"s", 86400u}}) {
      if (unit != name) continue;
      if (!__builtin_mul_overflow(rule.limit, times_a_day, &rule.limit)) return true;
      return fail(start, position_ - start, "the number is too large");
    }
    return fail(unit_start, position_ - unit_start, kExpected);
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
  out.text = text;
  error = {};
  if (base::trimmed(text).empty()) return true;
  std::string_view rest = text;
  for (bool more = true; more;) {
    size_t position = text.size() - rest.size();
    std::string_view written = base::trimmed(base::next_part(rest, ',', more));
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

namespace {
bool is_level(const Rule& rule) {
  bool is_live = rule.counter == Counter::live;
  if (rule.per_site || index_of(rule.subject) >= ledger::kKindCount) return false;
  if (rule.subject == Subject::heap) return is_live || rule.counter == Counter::bytes;
  return is_live && rule.subject != Subject::mapping && (rule.subject == Subject::fd || is_handle_kind(rule.kind()));
}
}  // namespace

bool parse_levels(std::string_view text, RuleSet& out, ParseError& error) {
  if (!parse_rules(text, out, error)) return false;
  for (const Rule& rule : out.all()) {
    bool is_one_too_many = static_cast<size_t>(&rule - out.rules.data()) >= kMostLevels;
    if (is_level(rule) && !is_one_too_many) continue;
    error = {static_cast<size_t>(rule.text.data() - text.data()), rule.text.size(),
             is_one_too_many ? "at most 16 are allowed"
                             : "only fd, heap, heap.bytes, timer, shm and library can be used here"};
    out = RuleSet();
    return false;
  }
  return true;
}

}  // namespace unfreed::report
