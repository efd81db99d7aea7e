// How much memory is left.
#include "base/free_memory.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace unfreed::base {
namespace {

TEST(FreeMemory, IsNoMoreThanTheMachineHas) {
  std::ifstream file("/proc/meminfo");
  std::string name;
  uint64_t kilobytes = 0;
  file >> name >> kilobytes;
  ASSERT_EQ(name, "MemTotal:");
  uint64_t bytes = free_memory();
  EXPECT_GT(bytes, 1u << 20);
  EXPECT_LE(bytes, kilobytes * 1024);
}

}  // namespace
}  // namespace unfreed::base
