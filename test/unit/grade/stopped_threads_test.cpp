// Calls that threads wait in while they are stopped again and again, one stop right after the other.
#include "grade/stopped_threads.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
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

}  // namespace
}  // namespace unfreed::grade
