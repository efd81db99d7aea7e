#include "base/bounded_call.h"

#include <gtest/gtest.h>
#include <sys/time.h>

#include <cstring>

namespace unfreed::report {
namespace {

constexpr size_t kStackBytes = 1 << 20;

TEST(BoundedCall, RunsOnAStackOfItsOwn) {
  struct Seen {
    char* place;
    int value;
  } seen{nullptr, 41};
  base::BoundedCall call;
  ASSERT_TRUE(call.reserve(kStackBytes));
  bool has_ended = call.run(
      [](void* context) {
        auto& here = *static_cast<Seen*>(context);
        char large[kStackBytes / 2];
        memset(large, 1, sizeof large);
        here.place = large;
        here.value += large[100];
      },
      &seen);
  EXPECT_TRUE(has_ended);
  EXPECT_EQ(seen.value, 42);
  char here = 0;
  EXPECT_GT(std::abs(seen.place - &here), static_cast<ptrdiff_t>(kStackBytes / 2));
}

/// Deep in the body.
[[gnu::no_sanitize_address]] void stop_within(base::BoundedCall& call, int depth) {
  if (depth == 0) call.stop();
  volatile char room[200];
  room[0] = static_cast<char>(depth);
  if (room[0] == static_cast<char>(depth)) stop_within(call, depth - 1);
  room[1] = room[0];
}

/// For ever, as far as anybody waits.
void count(volatile uint64_t& steps) {
  while (steps < UINT64_MAX) steps = steps + 1;
}

TEST(BoundedCall, IsLeftFromAnywhere) {
  base::BoundedCall call;
  ASSERT_TRUE(call.reserve(kStackBytes));
  for (int round = 0; round < 1000; ++round) {
    struct Work {
      base::BoundedCall* call;
      bool stop;
    } work{&call, round % 2 == 1};
    bool has_ended = call.run(
        [](void* context) {
          if (static_cast<Work*>(context)->stop) stop_within(*static_cast<Work*>(context)->call, 300);
        },
        &work);
    ASSERT_EQ(has_ended, !work.stop);
  }
}

TEST(BoundedCall, EndsWhatDoesNotEnd) {
  base::BoundedCall call;
  ASSERT_TRUE(call.reserve(kStackBytes));
  for (int round = 0; round < 5; ++round) {
    volatile uint64_t steps = 0;
    EXPECT_FALSE(call.run([](void* context) { count(*static_cast<volatile uint64_t*>(context)); },
                          const_cast<uint64_t*>(&steps)));
    EXPECT_GT(steps, 0u);
  }
}

TEST(BoundedCall, GivesSignalMaskAndTimerBack) {
  struct sigaction before {};
  before.sa_handler = SIG_IGN;
  sigaction(SIGVTALRM, &before, nullptr);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGVTALRM);
  sigprocmask(SIG_BLOCK, &blocked, nullptr);
  {
    base::BoundedCall call;
    ASSERT_TRUE(call.reserve(kStackBytes));
    volatile uint64_t steps = 0;
    EXPECT_FALSE(call.run([](void* context) { count(*static_cast<volatile uint64_t*>(context)); },
                          const_cast<uint64_t*>(&steps)));
  }
  struct sigaction after {};
  sigaction(SIGVTALRM, nullptr, &after);
  EXPECT_EQ(after.sa_handler, SIG_IGN);
  sigset_t mask;
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_TRUE(sigismember(&mask, SIGVTALRM));
  itimerval timer{};
  getitimer(ITIMER_VIRTUAL, &timer);
  EXPECT_EQ(timer.it_value.tv_sec + timer.it_value.tv_usec, 0);
}

}  // namespace
}  // namespace unfreed::report
