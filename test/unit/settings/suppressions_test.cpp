#include "settings/suppressions.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace unfreed::report {
namespace {

struct Parsed {
  std::array<Suppression, 8> all;
  size_t count = 0;
  size_t line = 0;
  ParseError error;
  bool fine = false;
};

Parsed parse(std::string_view text) {
  Parsed result;
  result.fine = parse_suppressions(text, result.all, result.count, result.error, result.line);
  return result;
}

bool suppresses(std::string_view line, std::string_view name) {
  Parsed parsed = parse(line);
  EXPECT_TRUE(parsed.fine) << line;
  EXPECT_EQ(parsed.count, 1u) << line;
  return matches(parsed.all[0], name);
}

TEST(Suppressions, ReadsKindsPatternsAndSignatures) {
  std::string text = "# comment\n\n fd:open_log_file \r\nheap:libfontconfig.so*\n*:signature:5f3a9C\nleak:foo";
  Parsed parsed = parse(text);
  ASSERT_TRUE(parsed.fine);
  ASSERT_EQ(parsed.count, 4u);
  EXPECT_EQ(parsed.all[0].kind, ledger::Kind::fd);
  EXPECT_EQ(parsed.all[0].pattern, "open_log_file");
  EXPECT_EQ(parsed.all[0].text, "fd:open_log_file");
  EXPECT_EQ(parsed.all[1].kind, ledger::Kind::heap);
  EXPECT_TRUE(parsed.all[2].any_kind);
  EXPECT_TRUE(parsed.all[2].signature);
  EXPECT_EQ(parsed.all[2].pattern, "5f3a9C");
  EXPECT_EQ(parsed.all[3].kind, ledger::Kind::heap);
  EXPECT_TRUE(parsed.all[3].substring);
}

TEST(Suppressions, PatternsMayHoldColons) { EXPECT_EQ(parse("fd:Log::open").all[0].pattern, "Log::open"); }

TEST(Suppressions, ErrorsNameTheLineAndKeepWhatWasRead) {
  for (const char* bad :
       {"fd", "socket:foo", "fd:", "fd:signature:xyz", "fd:signature:", "fd:signature:12345678901234567"}) {
    Parsed parsed = parse(std::string("fd:good\n# fine\n") + bad + "\nfd:other\n");
    EXPECT_FALSE(parsed.fine) << bad;
    EXPECT_EQ(parsed.count, 1u) << bad;
    EXPECT_EQ(parsed.line, 3u) << bad;
    EXPECT_NE(parsed.error.message, nullptr) << bad;
    EXPECT_EQ(parsed.error.position, 15u) << bad;
  }
}

TEST(Suppressions, MoreThanFitIsAnError) {
  std::string text;
  for (int count = 0; count < 9; ++count) text += "fd:x\n";
  Parsed parsed = parse(text);
  EXPECT_FALSE(parsed.fine);
  EXPECT_EQ(parsed.count, 8u);
  EXPECT_EQ(parsed.line, 9u);
}

TEST(Suppressions, SeveralFilesAddUp) {
  Parsed parsed = parse("fd:a\n");
  ASSERT_TRUE(parse_suppressions("fd:b\n", parsed.all, parsed.count, parsed.error, parsed.line));
  EXPECT_EQ(parsed.count, 2u);
}

TEST(Suppressions, APatternMatchesTheWholeName) {
  EXPECT_TRUE(suppresses("fd:open_log", "open_log"));
  EXPECT_FALSE(suppresses("fd:open_log", "open_log_file"));
  EXPECT_FALSE(suppresses("fd:open_log", "my_open_log"));
  EXPECT_TRUE(suppresses("fd:*open_log*", "my_open_log_file"));
}

TEST(Suppressions, LeakSanitizersFormMatchesAnywhere) {
  EXPECT_TRUE(suppresses("leak:open_log", "my_open_log_file"));
  EXPECT_TRUE(suppresses("leak:open*file", "my_open_log_file2"));
  EXPECT_FALSE(suppresses("leak:open_log", "openlog"));
  EXPECT_TRUE(suppresses("leak:^my_", "my_open"));
  EXPECT_FALSE(suppresses("leak:^open", "my_open"));
  EXPECT_TRUE(suppresses("leak:open$", "my_open"));
  EXPECT_FALSE(suppresses("leak:open$", "my_open2"));
}

TEST(Suppressions, NothingMatchesAnUnknownName) {
  EXPECT_FALSE(suppresses("fd:*", ""));
  EXPECT_FALSE(suppresses("fd:signature:12", "12"));
}

TEST(Patterns, WildcardsWork) {
  EXPECT_TRUE(matches_pattern("a?c", "abc"));
  EXPECT_FALSE(matches_pattern("a?c", "ac"));
  EXPECT_TRUE(matches_pattern("*", ""));
  EXPECT_TRUE(matches_pattern("a**b*", "axxb"));
  EXPECT_TRUE(matches_pattern("*.so.[0-9]", "libz.so.1"));
  EXPECT_FALSE(matches_pattern("*.so.[0-9]", "libz.so.x"));
  EXPECT_TRUE(matches_pattern("[!a-c]x", "dx"));
  EXPECT_FALSE(matches_pattern("[!a-c]x", "bx"));
  EXPECT_TRUE(matches_pattern("[]a]", "]"));
  EXPECT_TRUE(matches_pattern("[a-]", "-"));
  EXPECT_TRUE(matches_pattern("[a\\]b]", "]"));
}

TEST(Patterns, BackslashTakesTheMeaningAway) {
  EXPECT_TRUE(matches_pattern("operator\\*", "operator*"));
  EXPECT_FALSE(matches_pattern("operator\\*", "operatorx"));
  EXPECT_TRUE(matches_pattern("a\\", "a\\"));
}

TEST(Patterns, ABracketWithoutEndIsItself) {
  EXPECT_TRUE(matches_pattern("operator[]", "operator[]"));
  EXPECT_TRUE(matches_pattern("a[b", "a[b"));
  EXPECT_FALSE(matches_pattern("a[b", "ab"));
}

TEST(Patterns, ManyStarsTakeNoExponentialTime) {
  std::string pattern;
  for (int count = 0; count < 200; ++count) pattern += "*a";
  EXPECT_FALSE(matches_pattern(pattern + "b", std::string(4000, 'a')));
  EXPECT_TRUE(matches_pattern(pattern, std::string(4000, 'a')));
}

}  // namespace
}  // namespace unfreed::report
