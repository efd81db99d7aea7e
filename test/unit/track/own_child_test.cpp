// Whoever makes a copy of the process waits for the lists of children that other threads have opened and may not have
// read yet, and for no others.
#include "track/own_child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

namespace unfreed::track {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kLongest = std::chrono::milliseconds(200);

/// A list of children, opened as a hook notices it.
class List {
 public:
  explicit List(const char* path = "/proc/thread-self/children") : path_(path), fd_(open(path, O_RDONLY | O_CLOEXEC)) {
    hide_own_child(fd_, path_.data(), path_.size());
  }
  ~List() { close_now(); }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  bool is_open() const { return fd_ >= 0; }
  void close_now() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  std::string path_;
  int fd_;
};

/// How often the thread has slept.
long sleeps() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

/// Begins to make a copy; how often that slept.
long begin() {
  long before = sleeps();
  own_child_begins();
  long after = sleeps();
  own_child_ended();
  return after - before;
}
/// Waiting is a sleep of a tenth of a millisecond, over and over; the machine may make a thread wait now and then.
constexpr long kFewSleeps = 20;

TEST(OwnChild, WaitsUntilOthersHaveReadTheirLists) {
  std::atomic<bool> is_noted{false}, is_read{false};
  std::thread reader([&] {
    List list;
    EXPECT_TRUE(list.is_open());
    is_noted = true;
    while (!g_own_child.maker) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // before that, nothing may have gone on
    is_read = true;
  });
  while (!is_noted) std::this_thread::yield();
  auto start = Clock::now();
  own_child_begins();
  EXPECT_TRUE(is_read || Clock::now() - start >= kLongest) << "it did not wait";
  reader.join();
  own_child_ended();
}

TEST(OwnChild, WaitsForNoListOfItsOwnThread) {
  List list;
  EXPECT_LT(begin(), kFewSleeps);
}

/// Opens a list in another thread and calls `then` there; afterwards, with the list as that left it, begins.
template <class Then>
long begin_after(const char* path, Then then) {
  std::atomic<bool> is_ready{false}, is_over{false};
  std::thread reader([&] {
    List list(path);
    then(list);
    is_ready = true;
    while (!is_over) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  while (!is_ready) std::this_thread::yield();
  long slept = begin();
  is_over = true;
  reader.join();
  return slept;
}

constexpr const char* kList = "/proc/thread-self/children";

TEST(OwnChild, WaitsForNoListThatIsClosed) {
  EXPECT_LT(begin_after(kList, [](List& list) { list.close_now(); }), kFewSleeps);
}

TEST(OwnChild, WaitsForNoListThatWasOpenedLongAgo) {
  EXPECT_LT(begin_after(kList, [](List&) { std::this_thread::sleep_for(kLongest); }), kFewSleeps);
}

TEST(OwnChild, WaitsForNoFileThatIsNoList) {
  EXPECT_LT(begin_after("/proc/thread-self/stat", [](List&) {}), kFewSleeps);
}

TEST(OwnChild, DoesNotWaitForEver) {
  long slept = begin_after(kList, [](List&) {});  // it stays open
  EXPECT_GT(slept, 0);
}

siginfo_t about(pid_t pid, int code, int status) {
  siginfo_t result{};
  result.si_pid = pid;
  result.si_code = code;
  result.si_status = status;
  return result;
}

/// Of another process's child, or none: what is known of the runtime's is the number alone.
constexpr pid_t kChild = 4'000'001;

class MetOwnChild : public ::testing::Test {
 protected:
  MetOwnChild() { g_own_child.pid = kChild; }
  ~MetOwnChild() override { reset_own_child_after_fork(); }
};

TEST_F(MetOwnChild, ItsEndIsCollectedByWaitidHoweverItEnds) {
  struct {
    int code, status, collected;
  } ends[] = {{CLD_EXITED, 3, W_EXITCODE(3, 0)}, {CLD_KILLED, SIGKILL, SIGKILL}, {CLD_DUMPED, SIGSEGV, SIGSEGV}};
  for (auto& end : ends) {
    g_own_child.collected = 0;
    EXPECT_TRUE(own_child_met(about(kChild, end.code, end.status), 0));
    EXPECT_EQ(g_own_child.collected, kCollected | static_cast<uint32_t>(end.collected)) << end.code;
  }
}

TEST_F(MetOwnChild, WhatIsNoEndIsNotCollected) {
  for (int code : {CLD_STOPPED, CLD_TRAPPED, CLD_CONTINUED}) {
    EXPECT_TRUE(own_child_met(about(kChild, code, SIGSTOP), 0)) << "it is not the program's, all the same";
    EXPECT_EQ(g_own_child.collected, 0u) << code;
  }
}

TEST_F(MetOwnChild, OthersAreTheProgramsOwn) {
  for (pid_t pid : {kChild + 1, 0}) {
    if (!pid) g_own_child.pid = 0;
    EXPECT_FALSE(own_child_met(about(pid, CLD_EXITED, 0), 0));
    EXPECT_FALSE(own_child_collected(pid, 0));
    EXPECT_EQ(g_own_child.collected, 0u);
  }
}

TEST_F(MetOwnChild, OneThatWaitidWouldReturnAgainIsCollectedFromTheKernel) {
  for (int options : {WEXITED | WNOWAIT, WEXITED}) {
    pid_t child = fork();
    if (!child) _exit(5);
    siginfo_t met{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &met, WEXITED | WNOWAIT), 0);
    g_own_child.pid = child;
    EXPECT_TRUE(own_child_met(met, options));
    EXPECT_EQ(g_own_child.collected, kCollected | W_EXITCODE(5, 0));
    bool is_left = waitpid(child, nullptr, WNOHANG) == child;
    EXPECT_EQ(is_left, !(options & WNOWAIT));
  }
}

}  // namespace
}  // namespace unfreed::track
