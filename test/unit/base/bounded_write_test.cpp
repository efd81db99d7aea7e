// Writing to what may not take it.
#include "base/bounded_write.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <thread>

#include "base/syscall.h"
#include "support/scratch_folder.h"

namespace unfreed::base {
namespace {

class BoundedWrite : public test::ScratchFolder {
 protected:
  void SetUp() override {
    ScratchFolder::SetUp();
    ASSERT_EQ(pipe2(pipe_, O_CLOEXEC), 0);
  }
  void TearDown() override {
    close(pipe_[0]);
    close(pipe_[1]);
    ScratchFolder::TearDown();
  }
  static std::string why(const FileProblem& problem) {
    FixedText<64> text;
    if (problem) add_problem(text, problem);
    return std::string(text.text());
  }
  static double seconds_of(auto&& body) {
    uint64_t before = monotonic_ns();
    body();
    return static_cast<double>(monotonic_ns() - before) / 1e9;
  }
  static bool is_pending(int signal) {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, signal) == 1;
  }
  int pipe_[2];
};

TEST_F(BoundedWrite, WritesAll) {
  int file = open(path("file").c_str(), O_WRONLY | O_CREAT, 0600);
  std::string text(300'000, 'x');
  EXPECT_EQ(why(write_bounded(file, text, 100)), "");
  EXPECT_EQ(why(write_bounded(file, "end", kForever)), "");
  close(file);
  EXPECT_EQ(read("file"), text + "end");
}

TEST_F(BoundedWrite, GivesUpOnAFullPipe) {
  std::string text(1 << 20, 'x');
  double seconds = seconds_of([&] { EXPECT_EQ(why(write_bounded(pipe_[1], text, 200)), "no process reads it"); });
  EXPECT_GE(seconds, 0.19);
  EXPECT_LT(seconds, 5);
  EXPECT_EQ(fcntl(pipe_[1], F_GETFL) & O_NONBLOCK, 0) << "others may have the open file, too";
}

TEST_F(BoundedWrite, GivesUpOnAFullSocket) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  EXPECT_EQ(why(write_bounded(pair[0], std::string(4 << 20, 'x'), 100)), "no process reads it");
  close(pair[0]);
  close(pair[1]);
}

TEST_F(BoundedWrite, WaitsForAReaderWhoIsSlow) {
  std::string text(400'000, 'y');
  std::string got;
  std::thread reader([&] {
    char buffer[10'000];
    while (got.size() < text.size()) {
      usleep(2000);
      ssize_t size = ::read(pipe_[0], buffer, sizeof buffer);
      if (size <= 0) break;
      got.append(buffer, static_cast<size_t>(size));
    }
  });
  EXPECT_EQ(why(write_bounded(pipe_[1], text, 1000)), "");
  reader.join();
  EXPECT_EQ(got, text);
}

TEST_F(BoundedWrite, SurvivesAReaderWhoHasGone) {
  close(pipe_[0]);
  {
    HeldWriteSignals held(kWriteSignals);
    EXPECT_EQ(why(write_bounded(pipe_[1], "x", 100)), "Broken pipe");
    EXPECT_EQ(why(write_bounded(pipe_[1], "x", kForever)), "Broken pipe");
  }
  EXPECT_FALSE(is_pending(SIGPIPE));
  pipe_[0] = open("/dev/null", O_RDONLY);
}

TEST_F(BoundedWrite, SurvivesALimit) {
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit low{1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &low);
  int file = open(path("file").c_str(), O_WRONLY | O_CREAT, 0600);
  {
    HeldWriteSignals held(kFileSizeSignal);
    EXPECT_EQ(why(write_bounded(file, std::string(5000, 'x'), 100)), "File too large");
  }
  setrlimit(RLIMIT_FSIZE, &before);
  close(file);
  EXPECT_FALSE(is_pending(SIGXFSZ));
}

TEST_F(BoundedWrite, LeavesTheProgramsOwnSignalsAlone) {
  sigset_t held, before;
  sigemptyset(&held);
  sigaddset(&held, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &held, &before);
  raise(SIGPIPE);
  ASSERT_TRUE(is_pending(SIGPIPE));
  { HeldWriteSignals again(kWriteSignals); }
  EXPECT_TRUE(is_pending(SIGPIPE)) << "it was there before";
  int signal = 0;
  sigwait(&held, &signal);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(BoundedWrite, SaysWhatTheKernelSays) {
  int full = open("/dev/full", O_WRONLY);
  EXPECT_EQ(why(write_bounded(full, "x", 100)), "No space left on device");
  close(full);
  EXPECT_EQ(why(write_bounded(full, "x", 100)), "error 9");
}

}  // namespace
}  // namespace unfreed::base
