// The numbers that a directory of /proc lists.
#include "base/numbered_entries.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace unfreed::base {
namespace {

class OpenFiles : public testing::Test {
 protected:
  OpenFiles() : directory_(open_file("/proc/self/fd", O_RDONLY | O_DIRECTORY)) {}
  ~OpenFiles() override {
    close_file(directory_);
    for (int fd : made_) close(fd);
  }

  long directory_;
  std::vector<int> made_;
  alignas(8) char buffer_[128];  // several answers
};

TEST_F(OpenFiles, AreAllVisited) {
  for (int i = 0; i < 20; ++i) made_.push_back(dup(0));
  std::vector<int> seen;
  EXPECT_TRUE(each_numbered_entry(directory_, buffer_, [&](int fd) {
    seen.push_back(fd);
    return true;
  }));
  for (int fd : made_) EXPECT_EQ(std::count(seen.begin(), seen.end(), fd), 1) << fd;
  for (int fd : seen) EXPECT_NE(fcntl(fd, F_GETFD), -1) << fd;
}

TEST_F(OpenFiles, EndWithTheVisit) {
  int visits = 0;
  EXPECT_FALSE(each_numbered_entry(directory_, buffer_, [&](int) { return ++visits < 2; }));
  EXPECT_EQ(visits, 2);
}

TEST(NumberedEntries, AreNoneWhereTheKernelRefuses) {
  alignas(8) char buffer[128];
  EXPECT_FALSE(each_numbered_entry(-1, buffer, [](int) { return true; }));
}

}  // namespace
}  // namespace unfreed::base
