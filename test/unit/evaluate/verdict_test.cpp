// The outcome of a rule, in words.
#include "evaluate/verdict.h"

#include <gtest/gtest.h>

#include <string>

namespace unfreed::report {
namespace {

/// A rule's count: "3 descriptors held".
std::string count(std::string_view rule, uint64_t value) {
  RuleSet rules;
  ParseError error;
  EXPECT_TRUE(parse_rules(rule, rules, error)) << rule;
  base::FixedText<256> line;
  add_count(line, rules.rules[0], value);
  return std::string(line.text());
}

std::string verdict(const RuleOutcome& outcome) {
  base::FixedText<256> line;
  add_verdict(line, outcome);
  return std::string(line.text());
}

TEST(VerdictTest, CountsAreSaidInWordsOfTheirKind) {
  const struct {
    const char* rule;
    uint64_t value;
    const char* text;
  } kCounts[] = {
      {"fd>0", 1, "1 descriptor held"},
      {"fd>0", 3, "3 descriptors held"},
      {"site.fd>=20", 25, "25 descriptors held at one call site"},
      {"fd.attributed>0", 2, "2 descriptors"},
      {"fd.total>0", 2, "2 descriptors acquired in all"},
      {"fd.peak>0", 2, "2 descriptors at once"},
      {"fd.inherited>0", 2, "2 descriptors inherited"},
      {"fd.unattributed>0", 1, "1 descriptor acquired through no hooked function"},
      {"fd.lost>0", 1, "1 descriptor lost"},
      {"heap>0", 2, "2 blocks held"},
      {"heap.bytes>0", 1, "1 byte held"},
      {"heap.total_bytes>0", 2, "2 bytes acquired in all"},
      {"heap.lost>0", 2, "2 blocks lost"},
      {"heap.lost_bytes>0", 2, "2 bytes lost"},
      {"heap.indirectly_lost>0", 2, "2 blocks indirectly lost"},
      {"heap.indirectly_lost_bytes>0", 2, "2 bytes indirectly lost"},
      {"heap.possibly_lost>0", 2, "2 blocks possibly lost"},
      {"heap.possibly_lost_bytes>0", 2, "2 bytes possibly lost"},
      {"thread>0", 1, "1 thread ended unjoined"},
      {"thread.running>0", 2, "2 threads still running"},
      {"thread.total>0", 2, "2 threads started in all"},
      {"child>0", 1, "1 child unreaped"},
      {"child>0", 2, "2 children unreaped"},
      {"child.total>0", 2, "2 children started in all"},
      {"library>0", 1, "1 library held"},
      {"library>0", 2, "2 libraries held"},
      {"misuse>0", 1, "1 invalid close"},
      {"misuse>0", 2, "2 invalid closes"},
      {"misuse.not_open>0", 1, "1 close of a descriptor that was not open"},
      {"misuse.not_open>0", 2, "2 closes of descriptors that were not open"},
      {"misuse.standard_closed>0", 1, "1 standard stream closed by number"},
      {"misuse.standard_closed>0", 2, "2 standard streams closed by number"},
      {"inherited_by_child>0", 1, "1 descriptor inherited by other programs"},
      {"inherited_by_child>0", 2, "2 descriptors inherited by other programs"},
      {"fd.growth>0/d", 23, "23 descriptors more per day"},
      {"fd.growth>0/d", 24, "1 descriptor more per hour"},
      {"fd.growth>0/d", 50, "2 descriptors more per hour"},
      {"fd>0", 24, "24 descriptors held"},
  };
  for (const auto& one : kCounts) EXPECT_EQ(count(one.rule, one.value), one.text) << one.rule;
}

TEST(VerdictTest, LargeNumbersAreGrouped) {
  EXPECT_EQ(count("fd>0", 999), "999 descriptors held");
  EXPECT_EQ(count("fd>0", 1000), "1,000 descriptors held");
  EXPECT_EQ(count("fd>0", 1009), "1,009 descriptors held");
  EXPECT_EQ(count("fd>0", 1010), "1,010 descriptors held");
  EXPECT_EQ(count("fd>0", 1099), "1,099 descriptors held");
  EXPECT_EQ(count("fd>0", 1100), "1,100 descriptors held");
  EXPECT_EQ(count("fd>0", 1'234'567), "1,234,567 descriptors held");
}

TEST(VerdictTest, AVerdictSaysWhetherTheRuleHolds) {
  RuleOutcome outcome;
  outcome.rule = "fd>0";
  outcome.value = 0;
  EXPECT_EQ(verdict(outcome), "pass fd>0");
  outcome.value = 3;
  outcome.broken = true;
  EXPECT_EQ(verdict(outcome), "FAIL fd>0: 3 descriptors held");
  outcome.rule = "fd>5";
  outcome.broken = false;
  EXPECT_EQ(verdict(outcome), "pass fd>5: 3 descriptors held");
  outcome.rule = "fd>=0";
  outcome.value = 0;
  outcome.broken = true;
  EXPECT_EQ(verdict(outcome), "FAIL fd>=0: 0 descriptors held");
  outcome.value.reset();
  outcome.broken = false;
  outcome.unchecked = "this kind was not tracked";
  EXPECT_EQ(verdict(outcome), "not checked fd>=0: this kind was not tracked");
}

TEST(VerdictTest, ARuleOfALaterVersionHasItsNumber) {
  RuleOutcome outcome;
  outcome.rule = "dragons>1";
  outcome.value = 1234;
  EXPECT_EQ(verdict(outcome), "pass dragons>1: 1,234");
  outcome.rule = "fd>1,fd>2";
  EXPECT_EQ(verdict(outcome), "pass fd>1,fd>2: 1,234");
}

}  // namespace
}  // namespace unfreed::report
