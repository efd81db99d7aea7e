// Files that somebody else named: read where they are files, and told what they are where not.
#include "base/regular_file.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/descriptor_name.h"
#include "base/syscall.h"

namespace unfreed::base {
namespace {

namespace fs = std::filesystem;

class RegularFiles : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/unfreed-regular-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& text) {
    std::string path = folder_ / "file";
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  static std::string why(const FileProblem& problem) {
    FixedText<100> text;
    add_problem(text, problem);
    return std::string(text.text());
  }
  std::string why_not(const std::string& path, uint64_t most_bytes = 1000) {
    RegularFile file = open_regular_file(path.c_str(), most_bytes);
    if (file.fd >= 0) close_file(file.fd);
    EXPECT_EQ(file.fd < 0, static_cast<bool>(file.problem));
    EXPECT_TRUE(map_regular_file(path.c_str(), most_bytes).empty());
    char text[8];
    EXPECT_TRUE(read_regular_file(path.c_str(), text).problem);
    return why(file.problem);
  }

  fs::path folder_;
  char text_[8];
};

TEST_F(RegularFiles, AreReadWholeOrNotAtAll) {
  ReadResult read = read_regular_file(write("12345678").c_str(), text_);
  EXPECT_FALSE(read.problem);
  EXPECT_EQ(std::string_view(text_, read.bytes), "12345678");
  EXPECT_STREQ(read_regular_file(write("123456789").c_str(), text_).problem.what, kTooLarge);
  read = read_regular_file(write("").c_str(), text_);
  EXPECT_FALSE(read.problem);
  EXPECT_EQ(read.bytes, 0u);
}

TEST_F(RegularFiles, AreMapped) {
  auto mapped = map_regular_file(write("mapped").c_str(), 6);
  ASSERT_EQ(mapped.size(), 6u);
  EXPECT_EQ(std::memcmp(mapped.data(), "mapped", 6), 0);
  unmap_memory(const_cast<std::byte*>(mapped.data()), mapped.size());
  EXPECT_TRUE(map_regular_file(write("mapped").c_str(), 5).empty());
  EXPECT_TRUE(map_regular_file(write("").c_str(), 5).empty());
}

TEST_F(RegularFiles, OfProcShowTheirSizeWhenTheyAreRead) {
  EXPECT_FALSE(open_regular_file("/proc/self/comm", 0).problem);
  EXPECT_GT(read_regular_file("/proc/self/comm", text_).bytes + 1, 1u);
  EXPECT_STREQ(read_regular_file("/proc/self/maps", text_).problem.what, kTooLarge);
}

TEST_F(RegularFiles, AreNotWhatHasNoEndOrNoWriter) {
  std::string fifo = folder_ / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  std::string local = folder_ / "socket";
  sockaddr_un address{AF_UNIX, {}};
  local.copy(address.sun_path, sizeof address.sun_path - 1);
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  for (const std::string& odd : {fifo, local, std::string("/dev/zero"), std::string("/dev/full")})
    EXPECT_EQ(why_not(odd), "not a regular file") << odd;
  close(server);
  EXPECT_EQ(why_not(folder_), "Is a directory");
  EXPECT_EQ(why_not(folder_ / "missing"), "No such file or directory");
  std::string sparse = write("");
  ASSERT_EQ(truncate(sparse.c_str(), off_t{8} << 30), 0);
  EXPECT_EQ(why_not(sparse), "too large");
}

TEST_F(RegularFiles, WakeNoWriterOfAFifo) {
  std::string fifo = folder_ / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  pid_t writer = fork();
  if (writer == 0) {
    open(fifo.c_str(), O_WRONLY);  // returns when somebody opens the other end
    _exit(1);
  }
  usleep(20'000);
  EXPECT_EQ(why_not(fifo), "not a regular file");
  usleep(20'000);
  EXPECT_EQ(waitpid(writer, nullptr, WNOHANG), 0) << "still waiting for its reader";
  kill(writer, SIGKILL);
  waitpid(writer, nullptr, 0);
}

TEST(DescriptorNames, AreThoseOfTheProcessItself) {
  for (auto [name, number] : {std::pair("/dev/stdin", 0),
                              {"/dev/stdout", 1},
                              {"/dev/stderr", 2},
                              {"/dev/fd/0", 0},
                              {"/dev/fd/63", 63},
                              {"/proc/self/fd/7", 7},
                              {"/dev/fd/", -1},
                              {"/dev/fd/x", -1},
                              {"/dev/fd/-1", -1},
                              {"/dev/fd/99999999999999", -1},
                              {"/dev/fd/1/x", -1},
                              {"/dev/fd", -1},
                              {"/proc/1/fd/1", -1},
                              {"", -1},
                              {"/dev/stdout.7", -1}})
    EXPECT_EQ(descriptor_of(name), number) << name;
}

TEST(FileProblems, AreSaidInWords) {
  FixedText<64> text;
  add_problem(text, failed(-ENOSPC));
  text.add('/');
  add_problem(text, failed(-ENOTBLK));
  EXPECT_EQ(text.text(), "No space left on device/error 15");
  EXPECT_FALSE(FileProblem{});
}

}  // namespace
}  // namespace unfreed::base
