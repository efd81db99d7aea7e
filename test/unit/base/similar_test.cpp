#include "base/similar.h"

#include <gtest/gtest.h>

#include <string>

namespace unfreed::base {
namespace {

TEST(Similar, DistancesAreEdits) {
  EXPECT_EQ(edit_distance("list", "list"), 0u);
  EXPECT_EQ(edit_distance("list", "lsit"), 1u) << "two letters swapped";
  EXPECT_EQ(edit_distance("FAILON", "FAIL_ON"), 1u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance(std::string(100, 'a'), "a"), kLongestWord);
}

std::string_view nearest(std::string_view word) {
  Nearest nearest(word);
  for (const char* known : {"list", "report", "run", "snapshot", "check"}) nearest.consider(known);
  return nearest.found();
}

TEST(Similar, OnlyWhatIsMeantIsFound) {
  EXPECT_EQ(nearest("lst"), "list");
  EXPECT_EQ(nearest("snapshoot"), "snapshot");
  EXPECT_EQ(nearest("chekc"), "check");
  EXPECT_EQ(nearest("snap"), "snapshot") << "the beginning";
  EXPECT_EQ(nearest("reports"), "report");
  EXPECT_EQ(nearest("rn"), "run");
  EXPECT_EQ(nearest("xyz"), "");
  EXPECT_EQ(nearest(""), "");
}

}  // namespace
}  // namespace unfreed::base
