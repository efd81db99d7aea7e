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

/// A body that runs another one, which does not end, and then does not end itself.
TEST(BoundedCall, OneWithinAnotherEndsAloneAndLeavesTheOtherItsLimit) {
  struct Seen {
    bool has_inner_ended = true;
    bool has_gone_on = false;
    volatile uint64_t steps = 0;
  } seen;
  base::BoundedCall outer;
  ASSERT_TRUE(outer.reserve(kStackBytes));
  bool has_ended = outer.run(
      [](void* context) {
        auto& here = *static_cast<Seen*>(context);
        {
          base::BoundedCall inner;
          if (!inner.reserve(kStackBytes)) return;
          volatile uint64_t steps = 0;
          here.has_inner_ended = inner.run([](void* value) { count(*static_cast<volatile uint64_t*>(value)); },
                                           const_cast<uint64_t*>(&steps));
        }
        here.has_gone_on = true;
        count(here.steps);
      },
      &seen, 3 * base::BoundedCall::kMostMicroseconds);
  EXPECT_FALSE(has_ended);
  EXPECT_FALSE(seen.has_inner_ended);
  EXPECT_TRUE(seen.has_gone_on);
  EXPECT_GT(seen.steps, 0u);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_UNDEFINED__)
[[gnu::noinline]] void touch_nothing() { *reinterpret_cast<volatile int*>(64) = 1; }

TEST(BoundedCall, ASignalThatSomebodySendsIsNoFaultOfTheBody) {
  auto die = [] {
    base::BoundedCall call;
    if (!call.reserve(kStackBytes)) return;
    call.stop_at_faults();
    call.run([](void*) { raise(SIGSEGV); }, nullptr);
  };
  EXPECT_EXIT(die(), testing::KilledBySignal(SIGSEGV), "");
}

TEST(BoundedCall, AFaultStopsTheInnermostThenTheOther) {
  struct Seen {
    bool has_inner_ended = true;
    bool has_gone_on = false;
  } seen;
  {
    base::BoundedCall outer;
    ASSERT_TRUE(outer.reserve(kStackBytes));
    outer.stop_at_faults();
    bool has_ended = outer.run(
        [](void* context) {
          auto& here = *static_cast<Seen*>(context);
          base::BoundedCall inner;
          if (!inner.reserve(kStackBytes)) return;
          here.has_inner_ended = inner.run([](void*) { touch_nothing(); }, nullptr);
          here.has_gone_on = true;
          touch_nothing();
        },
        &seen);
    EXPECT_FALSE(has_ended);
  }
  EXPECT_FALSE(seen.has_inner_ended);
  EXPECT_TRUE(seen.has_gone_on);
  struct sigaction after {};
  sigaction(SIGSEGV, nullptr, &after);
  EXPECT_EQ(after.sa_handler, SIG_DFL);
}
#endif

}  // namespace
}  // namespace unfreed::report
