// What is shown of other people's texts.
#include "base/printable.h"

#include <gtest/gtest.h>

#include <string>

namespace unfreed::base {
namespace {

std::string shown(std::string_view text, size_t most = 1000) {
  FixedText<1200> out;
  add_printable(out, text, most);
  return std::string(out.text());
}

std::string utf8(uint32_t code) {
  auto tail = [code](int shift) { return static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xc0 | code >> 6), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)};
}

TEST(Printable, LeavesWordsOfAllScriptsAlone) {
  for (const char* text : {"", "a b~\\x", "grüße", "файл", "文件", "ملف", "שלום", "🙂", "e\u0301", "\u00a0\u3000"})
    EXPECT_EQ(shown(text), text);
}

TEST(Printable, EscapesWhatSteersTheTerminal) {
  EXPECT_EQ(shown("a\x1b[2J\r\n\t\x7f"), "a\\x1b[2J\\x0d\\x0a\\x09\\x7f");
  EXPECT_EQ(shown(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(shown("\u009b2J"), "\\u009b2J") << "a C1 control";
}

TEST(Printable, EscapesWhatChangesTheOrderOrIsNotSeen) {
  EXPECT_EQ(shown("photo\u202egnp.exe"), "photo\\u202egnp.exe");
  for (uint32_t code : {0xadu, 0x61cu, 0x200bu, 0x200eu, 0x200fu, 0x2028u, 0x202au, 0x2060u, 0x2066u, 0x2069u, 0x3164u,
                        0xfe0fu, 0xfeffu, 0xfffbu}) {
    char expected[8];
    snprintf(expected, sizeof expected, "\\u%04x", code);
    EXPECT_EQ(shown(utf8(code)), expected);
  }
  EXPECT_EQ(shown(utf8(0xe0041)), "\\U000e0041");
}

TEST(Printable, KnowsTheEdgesOfEachRange) {
  for (uint32_t code : {0x20u, 0x7eu, 0xa0u, 0xacu, 0xaeu, 0x34eu, 0x350u, 0x200au, 0x2010u, 0x2027u, 0x202fu, 0x205fu,
                        0x2070u, 0xfdffu, 0xfe10u, 0xfffcu, 0xdffffu, 0xe1000u, 0x10ffffu})
    EXPECT_FALSE(is_hidden(code)) << std::hex << code;
  for (uint32_t code : {0x0u, 0x1fu, 0x7fu, 0x9fu, 0x200bu, 0x202eu, 0x2060u, 0x206fu, 0xfff0u, 0xe0000u, 0xe0fffu})
    EXPECT_TRUE(is_hidden(code)) << std::hex << code;
}

TEST(Printable, ShowsBytesThatAreNotText) {
  EXPECT_EQ(shown("\x9b"), "\\x9b") << "CSI, to a terminal that does not expect UTF-8";
  EXPECT_EQ(shown("\xc3("), "\\xc3(");
  EXPECT_EQ(shown("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
  EXPECT_EQ(shown("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(shown("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond U+10FFFF";
  for (size_t size = 1; size < 4; ++size)
    EXPECT_EQ(shown(std::string_view("\xf0\x9f\x92\xa7").substr(0, size)).size(), 4 * size) << "cut short";
}

TEST(Printable, DecodesWhatItIsGiven) {
  for (uint32_t code = 0; code <= 0x10ffff; code += code < 0x3000 ? 1 : 257) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    std::string text = utf8(code);
    Character character = first_character(text);
    ASSERT_EQ(character.bytes, text.size()) << std::hex << code;
    ASSERT_EQ(character.code, code);
  }
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(shown("abcdef", 6), "abcdef");
  EXPECT_EQ(shown("abcdefg", 6), "abc…");
  EXPECT_EQ(shown("ab\u202e", 8), "ab\\u202e");
  EXPECT_EQ(shown("ab\u202ec", 8), "ab…") << "no half of an escape";
  EXPECT_EQ(shown("äöüß", 7), "äö…");
  for (size_t most = 0; most < 40; ++most) EXPECT_LE(shown("\u202e\u202eabc\x1bäöü\xff", most).size(), most);
}

TEST(Printable, IsItsOwnFixedPoint) {
  std::string once = shown("\u202e\x1b\xff\u200bü");
  EXPECT_EQ(shown(once), once);
}

}  // namespace
}  // namespace unfreed::base
