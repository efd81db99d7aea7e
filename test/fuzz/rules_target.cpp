// The input is the text of rules.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "check.h"
#include "settings/rules.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace unfreed;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  report::RuleSet rules;
  report::ParseError error;
  if (report::parse_rules(text, rules, error)) {
    test::check(rules.count <= report::kMaxRules, "no more rules than fit");
    for (const report::Rule& rule : rules.all()) {
      test::check(rule.text.data() >= text.data() && rule.text.data() + rule.text.size() <= text.data() + size,
                  "a rule's text is part of the input");
      // What was understood once is understood again, and means the same.
      report::RuleSet again;
      test::check(report::parse_rules(rule.text, again, error) && again.count == 1, "a rule reads back");
      test::check(again.rules[0].limit == rule.limit && again.rules[0].counter == rule.counter,
                  "a rule keeps its meaning");
    }
  } else {
    test::check(rules.count == 0 && error.message, "a refused text leaves no rules and says why");
    test::check(error.position <= size && error.length <= size - error.position, "an error lies within the input");
  }
  return 0;
}
