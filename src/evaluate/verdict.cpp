#include "evaluate/verdict.h"

namespace unfreed::report {

namespace {

/// 1,234,567
void add_grouped(base::TextBuilder& line, uint64_t value) {
  if (value >= 1000) {
    add_grouped(line, value / 1000);
    uint64_t rest = value % 1000;
    line.add(rest < 10 ? ",00" : rest < 100 ? ",0" : ",");
    value = rest;
  }
  line.add_number(value);
}

void add_noun(base::TextBuilder& line, std::string_view noun, uint64_t value) {
  if (value == 1)
    line.add(noun);
  else if (noun == "child")
    line.add("children");
  else if (noun.ends_with('y'))
    line.add(base::slice(noun, 0, noun.size() - 1)).add("ies");
  else
    line.add(noun).add('s');
}

/// What follows the noun.
std::string_view state_of(Subject subject, Counter counter) {
  switch (counter) {
    case Counter::live:
      return subject == Subject::thread ? " ended unjoined" : subject == Subject::child ? " unreaped" : " held";
    case Counter::bytes:
      return " held";
    case Counter::total:
    case Counter::total_bytes:
      return subject == Subject::thread || subject == Subject::child ? " started in all" : " acquired in all";
    case Counter::peak:
      return " at once";
    case Counter::running:
      return " still running";
    case Counter::inherited:
      return " inherited";
    case Counter::unattributed:
      return subject == Subject::thread || subject == Subject::child ? " whose start was not seen"
                                                                     : " acquired through no hooked function";
    case Counter::lost:
    case Counter::lost_bytes:
      return " lost";
    case Counter::indirectly_lost:
    case Counter::indirectly_lost_bytes:
      return " indirectly lost";
    case Counter::possibly_lost:
    case Counter::possibly_lost_bytes:
      return " possibly lost";
    default:
      return "";
  }
}

}  // namespace

void add_count(base::TextBuilder& line, const Rule& rule, uint64_t value) {
  bool is_hourly = rule.counter == Counter::growth && value >= 24;
  if (is_hourly) value /= 24;
  add_grouped(line, value);
  line.add(' ');
  if (rule.subject == Subject::misuse) {
    if (rule.counter == Counter::not_open) {
      add_noun(line, "close", value);
      line.add(value == 1 ? " of a descriptor that was not open" : " of descriptors that were not open");
    } else if (rule.counter == Counter::standard_closed) {
      add_noun(line, "standard stream", value);
      line.add(" closed by number");
    } else {
      add_noun(line, "invalid close", value);
    }
  } else if (rule.subject == Subject::exec) {
    add_noun(line, "descriptor", value);
    line.add(" inherited by other programs");
  } else {
    add_noun(line, is_bytes(rule.subject, rule.counter) ? "byte" : row_of(rule.subject).noun, value);
    if (rule.counter == Counter::growth) line.add(is_hourly ? " more per hour" : " more per day");
    line.add(state_of(rule.subject, rule.counter));
  }
  if (rule.per_site) line.add(" at one call site");
}

void add_verdict(base::TextBuilder& line, const RuleOutcome& outcome) {
  line.add(outcome.broken ? "FAIL " : outcome.is_checked() ? "pass " : "not checked ").add(outcome.rule);
  if (!outcome.is_checked()) {
    line.add(": ").add(outcome.unchecked);
    return;
  }
  uint64_t value = outcome.value.value_or(0);
  if (!value && !outcome.broken) return;
  line.add(": ");
  RuleSet rules;
  ParseError error;
  if (parse_rules(outcome.rule, rules, error) && rules.count == 1)
    add_count(line, rules.rules[0], value);
  else
    add_grouped(line, value);  // of a version that knows other rules
}

}  // namespace unfreed::report
