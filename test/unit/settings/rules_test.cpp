#include "settings/rules.h"

#include <gtest/gtest.h>

#include <string>

namespace unfreed::report {
namespace {

using ledger::Kind;

RuleSet read(std::string_view text) {
  RuleSet rules;
  ParseError error;
  EXPECT_TRUE(parse_rules(text, rules, error)) << text << ": " << (error.message ? error.message : "");
  return rules;
}

/// The error that reading `text` ends with.
ParseError read_error(std::string_view text) {
  RuleSet rules;
  ParseError error;
  EXPECT_FALSE(parse_rules(text, rules, error)) << text;
  EXPECT_EQ(rules.count, 0u) << text;
  EXPECT_NE(error.message, nullptr) << text;
  return error;
}

std::string part_at_fault(std::string_view text) {
  ParseError error = read_error(text);
  EXPECT_LE(error.position + error.length, text.size()) << text;
  return std::string(text.substr(error.position, error.length));
}

TEST(Rules, BlankTextIsNoRules) {
  EXPECT_EQ(read("").count, 0u);
  EXPECT_EQ(read("  \t ").count, 0u);
}

TEST(Rules, ARuleDefaultsToLive) {
  RuleSet rules = read("fd>0");
  ASSERT_EQ(rules.count, 1u);
  EXPECT_EQ(rules.rules[0].kind(), Kind::fd);
  EXPECT_EQ(rules.rules[0].counter, Counter::live);
  EXPECT_FALSE(rules.rules[0].per_site);
  EXPECT_FALSE(rules.rules[0].broken_by(0));
  EXPECT_TRUE(rules.rules[0].broken_by(1));
}

TEST(Rules, AListKeepsEachRuleAsWritten) {
  RuleSet rules = read(" fd>0 , heap.bytes>1M,site.thread >= 10 ");
  ASSERT_EQ(rules.count, 3u);
  EXPECT_EQ(rules.rules[0].text, "fd>0");
  EXPECT_EQ(rules.rules[1].text, "heap.bytes>1M");
  EXPECT_EQ(rules.rules[1].counter, Counter::bytes);
  EXPECT_EQ(rules.rules[1].limit, 1u << 20);
  EXPECT_EQ(rules.rules[2].text, "site.thread >= 10");
  EXPECT_TRUE(rules.rules[2].per_site);
  EXPECT_TRUE(rules.rules[2].broken_by(10));
  EXPECT_FALSE(rules.rules[2].broken_by(9));
}

TEST(Rules, UnitsArePowersOf1024) {
  EXPECT_EQ(read("fd>3K").rules[0].limit, 3u << 10);
  EXPECT_EQ(read("fd>3M").rules[0].limit, 3u << 20);
  EXPECT_EQ(read("fd>3G").rules[0].limit, uint64_t{3} << 30);
}

TEST(Rules, GrowthIsANumberPerTime) {
  EXPECT_EQ(read("fd.growth>10/h").rules[0].limit, 240u);
  EXPECT_EQ(read("site.heap.growth>=1M/d").rules[0].limit, uint64_t{1} << 20);
  EXPECT_EQ(read("thread.growth>2/m").rules[0].limit, read("thread.growth>2/min").rules[0].limit);
  EXPECT_EQ(read("child.growth>1/s, fd>0").rules[0].limit, 86400u);
  EXPECT_EQ(part_at_fault("fd.growth>10"), "10");
  EXPECT_EQ(part_at_fault("fd.growth>10/week"), "week");
  EXPECT_EQ(part_at_fault("fd.growth>18446744073709551615/s"), "18446744073709551615/s");
  EXPECT_EQ(part_at_fault("fd>10/h"), "/h");
}

TEST(Rules, LimitsMayFillTheWholeRange) {
  EXPECT_EQ(read("fd>18446744073709551615").rules[0].limit, UINT64_MAX);
  EXPECT_EQ(part_at_fault("fd>18446744073709551616"), "18446744073709551616");
  EXPECT_EQ(part_at_fault("fd>18014398509481984K"), "18014398509481984K");
}

TEST(Rules, EveryFieldOfEveryKindIsUnderstood) {
  EXPECT_EQ(read("fd.live>0,fd.total>0,fd.peak>0,fd.unattributed>0,fd.inherited>0").count, 5u);
  EXPECT_EQ(read("heap.live>0,heap.bytes>0,heap.total>0,heap.total_bytes>0").count, 4u);
  EXPECT_EQ(read("thread.live>0,thread.total>0,thread.peak>0,thread.running>0,thread.unattributed>0").count, 5u);
  EXPECT_EQ(read("child.live>0,child.total>0,child.peak>0,child.running>0,child.unattributed>0").count, 5u);
}

TEST(Rules, DeedsAreCountedForTheProcess) {
  RuleSet rules = read("misuse>0,inherited_by_child>=2,misuse.live>1");
  ASSERT_EQ(rules.count, 3u);
  EXPECT_EQ(rules.rules[0].subject, Subject::misuse);
  EXPECT_EQ(rules.rules[1].subject, Subject::exec);
  EXPECT_EQ(rules.rules[1].limit, 2u);
  EXPECT_EQ(rules.rules[2].subject, Subject::misuse);
  EXPECT_EQ(part_at_fault("site.misuse>0"), "misuse");
  EXPECT_EQ(part_at_fault("misuse.bytes>0"), "bytes");
}

TEST(Rules, FieldsThatAKindDoesNotHaveAreErrors) {
  EXPECT_EQ(part_at_fault("fd.bytes>0"), "bytes");
  EXPECT_EQ(part_at_fault("heap.peak>0"), "peak");
  EXPECT_EQ(part_at_fault("child.lost>0"), "lost");
  EXPECT_EQ(part_at_fault("site.thread.unattributed>0"), "unattributed");
  EXPECT_EQ(part_at_fault("site.fd.unattributed>0"), "unattributed");
  EXPECT_EQ(part_at_fault("fd.>0"), "");
}

TEST(Rules, KindsThatAreNotKnownAreErrorsThatNameThoseThatAre) {
  EXPECT_STREQ(read_error("gadget>0").message, read_error("gadget.bytes>1M").message);
  std::string message = read_error("gadget>0").message;
  for (const SubjectRow& row : kSubjects) EXPECT_NE(message.find(row.name), std::string::npos) << row.name;
  EXPECT_EQ(part_at_fault("fd>0,gadget>0"), "gadget");
  EXPECT_NE(std::string(read_error("site.misuse>0").message).find("counted per call site: fd, heap, thread, child"),
            std::string::npos);
}

TEST(Rules, ErrorsPointAtThePartAtFault) {
  EXPECT_EQ(part_at_fault("sockets>0"), "sockets");
  EXPECT_EQ(part_at_fault("fd<0"), "<");
  EXPECT_EQ(part_at_fault("fd=0"), "=");
  EXPECT_EQ(part_at_fault("fd>>0"), ">0");
  EXPECT_EQ(part_at_fault("fd>-1"), "-1");
  EXPECT_EQ(part_at_fault("fd>1T"), "T");
  EXPECT_EQ(part_at_fault("fd>1 2"), "2");
  EXPECT_EQ(part_at_fault("fd>0;heap>0"), ";heap>0");
  EXPECT_EQ(part_at_fault("site>0"), "site");
  EXPECT_EQ(part_at_fault("site.>0"), "");
  EXPECT_EQ(part_at_fault("FD>0"), "FD");
}

TEST(Rules, MissingPartsAreErrorsAtTheirPlace) {
  EXPECT_EQ(read_error("fd").position, 2u);
  EXPECT_EQ(read_error("fd>").position, 3u);
  EXPECT_EQ(read_error("fd>0,").position, 5u);
  EXPECT_EQ(read_error(",fd>0").position, 0u);
  EXPECT_EQ(read_error("fd>0,,fd>1").position, 5u);
}

TEST(Rules, MoreRulesThanCanBeKeptAreAnError) {
  std::string text = "fd>0";
  for (size_t count = 1; count < kMaxRules; ++count) text += ",fd>0";
  EXPECT_EQ(read(text).count, kMaxRules);
  read_error(text + ",fd>0");
}

TEST(Rules, KindNamesReadBack) {
  for (size_t index = 0; index < ledger::kKindCount; ++index) {
    Kind kind{};
    EXPECT_TRUE(kind_from_name(kind_name(static_cast<Kind>(index)), kind));
    EXPECT_EQ(static_cast<size_t>(kind), index);
  }
  Kind kind{};
  EXPECT_FALSE(kind_from_name("fds", kind));
  EXPECT_EQ(kind_name(static_cast<Kind>(200)), "unknown");
}

}  // namespace
}  // namespace unfreed::report
