#include "settings/suppressions.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

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

TEST(Suppressions, ALimitIsTheLastWord) {
  Parsed parsed =
      parse("fd:open max=3\nheap:operator new(unsigned long)\nfd:signature:12 max=0\nfd:max=4\nleak:x\tmax=7");
  ASSERT_TRUE(parsed.fine);
  EXPECT_EQ(parsed.all[0].pattern, "open");
  EXPECT_EQ(parsed.all[0].most, 3u);
  EXPECT_EQ(parsed.all[0].text, "fd:open max=3");
  EXPECT_EQ(parsed.all[1].pattern, "operator new(unsigned long)");
  EXPECT_FALSE(parsed.all[1].most);
  EXPECT_EQ(parsed.all[2].most, 0u);
  EXPECT_EQ(signature_of(parsed.all[2]), 0x12u);
  EXPECT_EQ(parsed.all[3].pattern, "max=4");
  EXPECT_EQ(parsed.all[4].most, 7u);
  for (const char* bad : {"fd:x max=", "fd:x max=-1", "fd:x max=99999999999999999999"})
    EXPECT_FALSE(parse(bad).fine) << bad;
}

/// Steps through a stack, "function@module" or "function" each, innermost first; "+" before an inlined one.
bool matches_stack(std::string_view pattern, std::vector<std::string> stack) {
  std::string text = "{\nname\nMemcheck:Leak\n" + std::string(pattern) + "\n}";
  Parsed parsed = parse(text);
  EXPECT_TRUE(parsed.fine) << text;
  EXPECT_EQ(parsed.count, 1u);
  FrameMatcher matcher(parsed.all[0]);
  for (std::string_view frame : stack) {
    bool inlined = frame.starts_with('+');
    frame.remove_prefix(inlined);
    size_t at = frame.find('@');
    std::string_view names[] = {frame.substr(0, at)};
    matcher.step({names, at == frame.npos ? std::string_view() : frame.substr(at + 1), "/src/a.c", 7, inlined});
  }
  return matcher.has_matched();
}

TEST(Suppressions, ValgrindsFramesMatchInOrder) {
  const std::vector<std::string> stack{"malloc", "strdup@/lib/libc.so.6", "+copy", "save@/usr/bin/x",
                                       "main@/usr/bin/x"};
  for (const char* pattern : {"fun:malloc", "fun:malloc\nfun:str*", "fun:malloc\nobj:*libc*\nfun:copy\nfun:save",
                              "fun:malloc\nfun:strdup\nfun:save", "...\nfun:main", "fun:malloc\n...\nfun:main", "...",
                              "fun:*\n...\n...\nfun:save\n...", "fun:malloc\nsrc:a.c:7", "fun:malloc\nsrc:*.c",
                              "...\nfun:malloc\nfun:strdup\n...\nfun:main\n..."})
    EXPECT_TRUE(matches_stack(pattern, stack)) << pattern;
  for (const char* pattern :
       {"fun:strdup", "fun:malloc\nfun:save", "fun:malloc\nfun:main", "...\nfun:_start", "fun:malloc\nsrc:a.c:8",
        "fun:malloc\nsrc:b.c", "fun:malloc\nobj:*libm*", "fun:malloc\nfun:strdup\nfun:main", "...\nfun:main\nfun:*"})
    EXPECT_FALSE(matches_stack(pattern, stack)) << pattern;
  std::string deep = "fun:malloc";
  for (int count = 0; count < 100; ++count) deep += "\n...";
  EXPECT_TRUE(matches_stack(deep, stack));
}

TEST(Suppressions, ValgrindsBlocksThatAreNotOursArePassedOver) {
  Parsed parsed = parse(
      "{\n a\n Memcheck:Cond\n fun:x\n}\nfd:y\n{\n b\n  Memcheck,Addrcheck:Leak\n"
      " match-leak-kinds: definite, possible\n  # comment\n fun:z\n obj:q\n}\n{\n c\n Helgrind:Race\n fun:w\n}");
  ASSERT_TRUE(parsed.fine);
  ASSERT_EQ(parsed.count, 2u);
  EXPECT_EQ(parsed.all[0].pattern, "y");
  EXPECT_TRUE(parsed.all[1].valgrind);
  EXPECT_EQ(parsed.all[1].text, "b");
  EXPECT_EQ(parsed.all[1].leak_kinds, Suppression::kDefinite | Suppression::kPossible);
  EXPECT_EQ(parse("{\n a\n Memcheck:Leak\n fun:x").line, 4u);
}

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
