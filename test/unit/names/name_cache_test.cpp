#include "names/name_cache.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace unfreed::report {
namespace {

TEST(NameCache, KnowsBothFormsOfAName) {
  auto cache = std::make_unique<NameCache>();
  std::string linked = "_Z1f";
  FunctionName name;
  EXPECT_FALSE(cache->find(linked, name));
  cache->keep(linked, {"shown", "in full"});
  ASSERT_TRUE(cache->find(linked, name));
  EXPECT_EQ(name.shown, "shown");
  EXPECT_EQ(name.full, "in full");
  EXPECT_FALSE(cache->find(std::string_view(linked).substr(0, 3), name)) << "another name that begins there";
  cache->keep(linked, {"same", "same"});
  ASSERT_TRUE(cache->find(linked, name));
  EXPECT_EQ(name.full, "same");
  cache->forget();
  EXPECT_FALSE(cache->find(linked, name));
}

TEST(NameCache, NeverGivesAnothersName) {
  auto cache = std::make_unique<NameCache>();
  std::vector<std::string> linked;
  for (int number = 0; number < 20'000; ++number) linked.push_back("_Z1f" + std::to_string(number));
  size_t found = 0;
  // More than has room, so that texts are thrown away on the way.
  for (int round = 0; round < 2; ++round)
    for (const std::string& one : linked) {
      FunctionName name;
      if (cache->find(one, name)) {
        ++found;
        ASSERT_EQ(name.shown, one + std::string(100, 's'));
        ASSERT_EQ(name.full, one + std::string(150, 'f'));
      }
      cache->keep(one, {one + std::string(100, 's'), one + std::string(150, 'f')});
      ASSERT_TRUE(cache->find(one, name));
      ASSERT_EQ(name.full, one + std::string(150, 'f'));
    }
  EXPECT_LT(found, 20'000u);
  // What does not fit is not kept.
  std::string large(2 << 20, 'x');
  cache->keep(large, {large, large});
  FunctionName name;
  EXPECT_FALSE(cache->find(large, name));
}

}  // namespace
}  // namespace unfreed::report
