// Which waits are noted, so that what is left of their time is known if a signal of the runtime cuts them short.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <time.h>
#include <unistd.h>

#include "support/real_functions.h"
#include "track/timed_wait.h"

namespace unfreed::hook {
namespace {

using track::t_wait;
using track::Wait;

Wait g_seen;
template <class... Arguments>
int look(Arguments...) {
  g_seen = t_wait;
  return 7;
}

/// Instead of libc's functions, one that looks at what is noted while it runs.
class WaitsTest : public ::testing::Test {
 protected:
  WaitsTest() : libc_(g_real) {
    g_seen = {};
    g_real.nanosleep = [](auto... all) { return look(all...); };
    g_real.clock_nanosleep = [](auto... all) { return look(all...); };
    g_real.usleep = [](auto... all) { return look(all...); };
    g_real.poll = [](auto... all) { return look(all...); };
    g_real.epoll_wait = [](auto... all) { return look(all...); };
    g_real.epoll_pwait = [](auto... all) { return look(all...); };
    g_real.epoll_pwait2 = [](auto... all) { return look(all...); };
    g_real.semtimedop = [](auto... all) noexcept { return look(all...); };
    g_real.sigtimedwait = [](auto... all) { return look(all...); };
  }
  ~WaitsTest() override {
    EXPECT_EQ(t_wait.frame, 0u) << "it is over";
    g_real = libc_;
  }
  /// Noted as a wait for what is at `key`, or, where that is nullptr, for `whole_ns`.
  static void expect_noted(int result, const void* key, uint64_t whole_ns = 0) {
    EXPECT_EQ(result, 7);
    EXPECT_NE(g_seen.frame, 0u);
    EXPECT_NE(g_seen.began_ns, 0u);
    EXPECT_EQ(g_seen.key, reinterpret_cast<uintptr_t>(key));
    EXPECT_EQ(g_seen.whole_ns, whole_ns);
    g_seen = {};
  }
  static void expect_not_noted(int result) {
    EXPECT_EQ(result, 7);
    EXPECT_EQ(g_seen.frame, 0u);
  }

  Real libc_;
};

const timespec kSecond{1, 0};

TEST_F(WaitsTest, SleepsAreNoted) {
  expect_noted(nanosleep(&kSecond, nullptr), &kSecond);
  expect_noted(usleep(1500), nullptr, 1'500'000);
}

TEST_F(WaitsTest, SleepsByAClockThatGoesOnAreNoted) {
  for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI}) {
    SCOPED_TRACE(clock);
    expect_noted(clock_nanosleep(clock, 0, &kSecond, nullptr), &kSecond);
    expect_not_noted(clock_nanosleep(clock, TIMER_ABSTIME, &kSecond, nullptr));
  }
  expect_not_noted(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &kSecond, nullptr));
}

TEST_F(WaitsTest, LimitsOfMillisecondsAreNotedWhereThereIsOne) {
  pollfd file{};
  epoll_event event{};
  expect_noted(poll(&file, 0, 20), &file, 20'000'000);
  expect_noted(epoll_wait(-1, &event, 1, 20), &event, 20'000'000);
  expect_noted(epoll_pwait(-1, &event, 1, 1, nullptr), &event, 1'000'000);
  for (int none : {0, -1}) {
    expect_not_noted(poll(&file, 0, none));
    expect_not_noted(epoll_wait(-1, &event, 1, none));
    expect_not_noted(epoll_pwait(-1, &event, 1, none, nullptr));
  }
}

TEST_F(WaitsTest, LimitsAtAnAddressAreNoted) {
  epoll_event event{};
  sigset_t signals{};
  sembuf operation{};
  expect_noted(epoll_pwait2(-1, &event, 1, &kSecond, nullptr), &kSecond);
  expect_noted(semtimedop(-1, &operation, 1, &kSecond), &kSecond);
  expect_noted(sigtimedwait(&signals, nullptr, &kSecond), &kSecond);
}

}  // namespace
}  // namespace unfreed::hook
