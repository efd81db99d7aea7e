// Numbers in texts.
#include "base/scan.h"

#include <gtest/gtest.h>

#include <vector>

namespace unfreed::base {
namespace {

TEST(Numbers, AreTakenFromTheBeginningOfAText) {
  std::string_view text = "42 rest";
  uint64_t number = 7;
  EXPECT_TRUE(take_number(text, number));
  EXPECT_EQ(number, 42u);
  EXPECT_EQ(text, " rest");
  for (const char* none : {"", "x1", "-1", " 1", "18446744073709551616"}) {
    text = none;
    EXPECT_FALSE(take_number(text, number)) << none;
    EXPECT_EQ(text, none) << "nothing is taken";
    EXPECT_EQ(number, 42u) << "nothing is changed";
  }
}

TEST(Numbers, AreWholeTexts) {
  uint64_t number = 7;
  EXPECT_TRUE(parse_number("18446744073709551615", number));
  EXPECT_EQ(number, UINT64_MAX);
  for (const char* none : {"", "1 ", "1x", "+1", "18446744073709551616"}) {
    EXPECT_FALSE(parse_number(none, number)) << none;
    EXPECT_EQ(number, UINT64_MAX);
  }
}

TEST(Numbers, OfProcessesAndDescriptorsFitAnInt) {
  EXPECT_EQ(parse_id("0"), 0);
  EXPECT_EQ(parse_id("2147483647"), 2147483647);
  for (const char* none : {"", ".", "..", "x1", "1x", "-1", " 1", "2147483648", "99999999999999999999999"})
    EXPECT_EQ(parse_id(none), -1) << none;
}

TEST(Numbers, OfProcessesAreVisitedInALine) {
  std::vector<int> seen;
  auto see = [&](int id) { seen.push_back(id); };
  each_id("12 345 6 ", see);
  EXPECT_EQ(seen, (std::vector{12, 345, 6}));
  seen.clear();
  each_id("12 345\n", see);
  EXPECT_EQ(seen, (std::vector{12, 345}));
  seen.clear();
  each_id("", see);
  EXPECT_TRUE(seen.empty());
}

}  // namespace
}  // namespace unfreed::base
