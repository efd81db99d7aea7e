// Calls that threads wait in while they are stopped again and again, one stop right after the other.
#include "grade/stopped_threads.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <thread>
#include <vector>

#include "arch/signal_context.h"

namespace unfreed::grade {
namespace {

/// The next stop looks at a thread that may not have left the handler of this one yet.
TEST(StoppedThreads, NoCallIsCutShortByStopsInARow) {
  if (!arch::kKnowsSignalContext) GTEST_SKIP() << "threads are not stopped on this processor";
  constexpr int kThreads = 8, kStops = 1000;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::atomic<int> waiting{0}, cut_short{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&] {
      ++waiting;
      pollfd one{ends[0], POLLIN, 0};
      while (poll(&one, 1, -1) < 0) cut_short += errno == EINTR;
    });
  while (waiting != kThreads) std::this_thread::yield();
  int stopped = 0;
  for (int i = 0; i < kStops; ++i) {
    StoppedThreads stop;
    stopped += stop.stop(1000) == nullptr;
  }
  close(ends[1]);
  for (std::thread& thread : threads) thread.join();
  close(ends[0]);
  EXPECT_GT(stopped, 0);
  EXPECT_EQ(cut_short, 0);
}

/// Where a stop is over before all have answered, their signals arrive during the next ones.
TEST(StoppedThreads, NoCallIsCutShortByStopsThatEndEarly) {
  if (!arch::kKnowsSignalContext) GTEST_SKIP() << "threads are not stopped on this processor";
  constexpr int kThreads = 16, kStops = 100;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::atomic<int> waiting{0}, cut_short{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&, i] {
      ++waiting;
      pollfd one{ends[0], POLLIN, 0};
      // Every other one runs, so that processors are scarce.
      for (int got = 0; got <= 0;) {
        got = poll(&one, 1, i % 2 ? -1 : 0);
        cut_short += got < 0 && errno == EINTR;
      }
    });
  while (waiting != kThreads) std::this_thread::yield();
  int late = 0;
  for (int i = 0; i < kStops; ++i) {
    StoppedThreads stop;
    late += stop.stop(1) != nullptr;
  }
  close(ends[1]);
  for (std::thread& thread : threads) thread.join();
  close(ends[0]);
  std::printf("%d of %d stops ended early\n", late, kStops);
  EXPECT_EQ(cut_short, 0);
}

#ifdef __x86_64__
TEST(ReturnedCall, IsNamedByTheInstructionBeforeIt) {
  auto number_of = [](std::vector<uint8_t> bytes) {
    alignas(64) uint8_t code[8] = {};
    std::copy(bytes.begin(), bytes.end(), code);
    ucontext_t context{};
    context.uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(code + sizeof code);
    return arch::number_of_returned_call(context);
  };
  EXPECT_EQ(number_of({0xc3, 0xb8, 0x07, 0, 0, 0, 0x0f, 0x05}), 7);     // ret; mov $7, %eax; syscall
  EXPECT_EQ(number_of({0xd2, 0xb8, 0xe6, 0, 0, 0, 0x0f, 0x05}), 0xe6);  // xor %edx, %edx; mov $230, %eax; syscall
  EXPECT_EQ(number_of({0x41, 0xb8, 0x07, 0, 0, 0, 0x0f, 0x05}), -1);    // mov $7, %r8d; syscall
  EXPECT_EQ(number_of({0x24, 0xb8, 0x07, 0, 0, 0, 0x0f, 0x05}), -1);    // movl $7, -72(%rsp); syscall
  EXPECT_EQ(number_of({0x45, 0xb8, 0x07, 0, 0, 0, 0x0f, 0x05}), -1);    // movl $7, -72(%rbp); syscall
  EXPECT_EQ(number_of({0xc3, 0xb8, 0x07, 0, 0, 0, 0x0f, 0x34}), -1);    // sysenter
  EXPECT_EQ(number_of({0x90, 0x90, 0x90, 0x48, 0x89, 0xf8, 0x0f, 0x05}), -1);  // mov %rdi, %rax; syscall
}
#endif

}  // namespace
}  // namespace unfreed::grade
