// Whole small files, read by system calls alone.
#include "base/syscall.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace unfreed::base {
namespace {

class ReadFile : public testing::Test {
 protected:
  ReadFile() : file_(mkstemp(path_)) {}
  ~ReadFile() override {
    close(file_);
    unlink(path_);
  }

  char path_[32] = "/tmp/unfreed-read-XXXXXX";
  int file_;
  char text_[8];
};

TEST_F(ReadFile, TakesAsMuchAsThereIsRoomFor) {
  EXPECT_EQ(read_file(path_, text_, sizeof text_), 0);
  ASSERT_TRUE(write_all(file_, "six..."));
  ASSERT_EQ(read_file(path_, text_, sizeof text_), 6);
  EXPECT_EQ(std::string_view(text_, 6), "six...");
  EXPECT_EQ(read_file(path_, text_, 3), 3);
}

TEST_F(ReadFile, TellsWhyNothingCanBeHad) {
  EXPECT_EQ(read_file("/nonexistent", text_, sizeof text_), -ENOENT);
  EXPECT_EQ(read_file("/", text_, sizeof text_), -EISDIR) << "it opens, and cannot be read";
}

TEST(CopyMemory, CopiesWhatIsThere) {
  constexpr size_t kPage = 4096;
  auto* pages = static_cast<char*>(map_memory(2 * kPage));
  ASSERT_NE(pages, nullptr);
  pages[kPage - 1] = 7;
  unmap_memory(pages + kPage, kPage);
  auto last = reinterpret_cast<uintptr_t>(pages + kPage - 1);
  char byte = 0;
  EXPECT_EQ(copy_memory(0, last, &byte, 1), 1);
  EXPECT_EQ(byte, 7);
  EXPECT_EQ(copy_memory(current_pid(), last, &byte, 1), 1);
  EXPECT_EQ(copy_memory(0, last + 1, &byte, 1), -EFAULT);
  unmap_memory(pages, kPage);
}

}  // namespace
}  // namespace unfreed::base
