// Lines of /proc/PID/maps.
#include "base/mapping_line.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace unfreed::base {
namespace {

TEST(MappingLine, HasAllFields) {
  MappingLine line;
  ASSERT_TRUE(parse_mapping_line("7f00a000-7f00c000 r-xs 00003000 fd:01 1234                /tmp/a (b) c ", line));
  EXPECT_EQ(line.low, 0x7f00a000u);
  EXPECT_EQ(line.high, 0x7f00c000u);
  EXPECT_TRUE(line.readable && line.executable && line.shared);
  EXPECT_FALSE(line.writable);
  EXPECT_EQ(line.offset, 0x3000u);
  EXPECT_EQ(line.inode, 1234u);
  EXPECT_EQ(line.name, "/tmp/a (b) c ") << "a name may end in a blank";
}

TEST(MappingLine, MayHaveNoName) {
  MappingLine line;
  for (const char* text : {"1000-2000 ---p 00000000 00:00 0", "1000-2000 ---p 00000000 00:00 0 "}) {
    ASSERT_TRUE(parse_mapping_line(text, line)) << text;
    EXPECT_TRUE(line.name.empty());
    EXPECT_FALSE(line.readable || line.writable || line.executable || line.shared);
  }
}

TEST(MappingLine, IsNoOtherLineOfSmaps) {
  MappingLine line;
  for (const char* text : {"", "Rss:                4 kB", "VmFlags: rd mr mw me dw sd", "1000-2000",
                           "1000-2000 r-xp 0", "1000-2000 r-xp 00000000 00:00 x"})
    EXPECT_FALSE(parse_mapping_line(text, line)) << text;
}

TEST(MappingLine, IsEveryLineOfThisProcess) {
  std::ifstream maps("/proc/self/maps");
  bool has_code = false;
  auto here = reinterpret_cast<uintptr_t>(&parse_mapping_line);
  for (std::string text; std::getline(maps, text);) {
    MappingLine line;
    ASSERT_TRUE(parse_mapping_line(text, line)) << text;
    ASSERT_LT(line.low, line.high);
    has_code |= line.executable && here >= line.low && here < line.high && line.name.starts_with('/');
  }
  EXPECT_TRUE(has_code);
}

}  // namespace
}  // namespace unfreed::base
