// Calls that threads wait in while they are stopped again and again, one stop right after the other.
#include "grade/stopped_threads.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer has signal handlers, which might have caused an EINTR: it is passed on";
#endif
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
  auto number_of = [](std::vector<uint8_t> bytes, greg_t result = -EINTR) {
    alignas(64) uint8_t code[8] = {};
    std::copy(bytes.begin(), bytes.end(), code);
    ucontext_t context{};
    context.uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(code + sizeof code);
    context.uc_mcontext.gregs[REG_RAX] = result;
    return arch::number_of_returned_call(context);
  };
  EXPECT_EQ(number_of({0xc3, 0xb8, 0x07, 0, 0, 0, 0x0f, 0x05}), 7);     // ret; mov $7, %eax; syscall
  EXPECT_EQ(number_of({0xd2, 0xb8, 0xe6, 0, 0, 0, 0x0f, 0x05}), 0xe6);  // xor %edx, %edx; mov $230, %eax; syscall
  EXPECT_EQ(number_of({0x41, 0xb8, 0x07, 0, 0, 0, 0x0f, 0x05}), -1);    // mov $7, %r8d; syscall
  EXPECT_EQ(number_of({0x24, 0xb8, 0x07, 0, 0, 0, 0x0f, 0x05}), -1);    // movl $7, -72(%rsp); syscall
  EXPECT_EQ(number_of({0x45, 0xb8, 0x07, 0, 0, 0, 0x0f, 0x05}), -1);    // movl $7, -72(%rbp); syscall
  EXPECT_EQ(number_of({0xc3, 0xb8, 0x07, 0, 0, 0, 0x0f, 0x34}), -1);    // sysenter
  EXPECT_EQ(number_of({0x90, 0x90, 0x90, 0x48, 0x89, 0xf8, 0x0f, 0x05}), -1);  // mov %rdi, %rax; syscall
  EXPECT_EQ(number_of({0xc3, 0xb8, 0x07, 0, 0, 0, 0x0f, 0x05}, 1), -1);        // it was not cut short
}

/// Code may be such as can be run and not read, or be no code any more.
TEST(ReturnedCall, IsNotReadFromMemoryThatCannotBe) {
  void* memory = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  ucontext_t context{};
  context.uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(memory) + 64;
  context.uc_mcontext.gregs[REG_RAX] = -EINTR;
  EXPECT_EQ(arch::number_of_returned_call(context), -1);
  EXPECT_FALSE(arch::make_again(context, arch::interrupted_call(context, SYS_poll)));
  munmap(memory, 4096);
}
#endif

/// A fork child has none of the threads that its parent has stopped, and the signal as the program left it.
TEST(StoppedThreads, AForkChildHasNoneOfThem) {
  if (!arch::kKnowsSignalContext) GTEST_SKIP() << "threads are not stopped on this processor";
  std::atomic<bool> ends{false};
  std::atomic<int> waiting{0};
  auto wait = [&] {
    ++waiting;
    while (!ends) usleep(1000);
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(wait);
  while (waiting != 4) std::this_thread::yield();
  auto handlers = [] {
    int count = 0;
    for (int signal = 40; signal < 64; ++signal) {
      struct sigaction action;
      count += sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_DFL;
    }
    return count;
  };
  int status = 0;
  {
    StoppedThreads stop;
    const char* problem = stop.stop(1000);
    ASSERT_EQ(problem, nullptr) << problem;
    EXPECT_EQ(handlers(), 1);
    pid_t pid = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (!pid) {
      if (handlers() != 1) _exit(1);
      StoppedThreads::reset_after_fork();
      if (handlers() != 0) _exit(2);
      // It stops a thread of its own, in the slots that its parent's were in.
      pthread_t own;
      auto idle = [](void*) -> void* {
        for (;;) pause();
      };
      if (pthread_create(&own, nullptr, idle, nullptr)) _exit(3);
      StoppedThreads again;
      _exit(again.stop(1000) ? 4 : again.at_rest().size() == 1 ? 0 : 5);
    }
    ASSERT_GT(pid, 0);
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
  }
  ends = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace unfreed::grade
