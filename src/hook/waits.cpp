// Calls that wait for a relative time: where a signal of the runtime cuts one short, it is known how long it has
// waited.
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "hook/real.h"
#include "track/timed_wait.h"

using namespace unfreed;
using hook::g_real;

namespace {

constexpr uint64_t kMillisecondNs = 1'000'000, kMicrosecondNs = 1'000;

/// Limits of 0 and −1 are none.
template <class Call>
int waiting_ms(const void* frame, const void* key, int milliseconds, Call call) {
  if (milliseconds <= 0) return call();
  track::TimedWait wait(frame, key, static_cast<uint64_t>(milliseconds) * kMillisecondNs);
  return call();
}

}  // namespace

#define UNFREED_FRAME __builtin_frame_address(0)

UNFREED_HOOK int nanosleep(const timespec* request, timespec* rest) {
  track::TimedWait wait(UNFREED_FRAME, request, 0);
  return g_real.nanosleep(request, rest);
}
UNFREED_HOOK int clock_nanosleep(clockid_t clock, int flags, const timespec* request, timespec* rest) {
  // Processor time passes in its own way.
  bool is_time = clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_TAI;
  if (flags & TIMER_ABSTIME || !is_time) return g_real.clock_nanosleep(clock, flags, request, rest);
  track::TimedWait wait(UNFREED_FRAME, request, 0);
  return g_real.clock_nanosleep(clock, flags, request, rest);
}
UNFREED_HOOK int usleep(useconds_t microseconds) {
  track::TimedWait wait(UNFREED_FRAME, nullptr, microseconds * kMicrosecondNs);
  return g_real.usleep(microseconds);
}
UNFREED_HOOK int thrd_sleep(const timespec* time, timespec* rest) {
  track::TimedWait wait(UNFREED_FRAME, time, 0);
  return g_real.thrd_sleep(time, rest);
}

UNFREED_HOOK int poll(pollfd* fds, nfds_t count, int milliseconds) {
  return waiting_ms(UNFREED_FRAME, fds, milliseconds, [&] { return g_real.poll(fds, count, milliseconds); });
}
UNFREED_HOOK int __poll(pollfd* fds, nfds_t count, int milliseconds) {
  return waiting_ms(UNFREED_FRAME, fds, milliseconds, [&] { return g_real.__poll(fds, count, milliseconds); });
}
UNFREED_HOOK int __poll_chk(pollfd* fds, nfds_t count, int milliseconds, size_t bytes) {
  return waiting_ms(UNFREED_FRAME, fds, milliseconds,
                    [&] { return g_real.__poll_chk(fds, count, milliseconds, bytes); });
}

UNFREED_HOOK int epoll_wait(int epoll, epoll_event* events, int most, int milliseconds) {
  return waiting_ms(UNFREED_FRAME, events, milliseconds,
                    [&] { return g_real.epoll_wait(epoll, events, most, milliseconds); });
}
UNFREED_HOOK int epoll_pwait(int epoll, epoll_event* events, int most, int milliseconds, const sigset_t* mask) {
  return waiting_ms(UNFREED_FRAME, events, milliseconds,
                    [&] { return g_real.epoll_pwait(epoll, events, most, milliseconds, mask); });
}
UNFREED_HOOK int epoll_pwait2(int epoll, epoll_event* events, int most, const timespec* time, const sigset_t* mask) {
  track::TimedWait wait(UNFREED_FRAME, time, 0);
  return g_real.epoll_pwait2(epoll, events, most, time, mask);
}

UNFREED_HOOK int semtimedop(int set, sembuf* operations, size_t count, const timespec* time) noexcept {
  track::TimedWait wait(UNFREED_FRAME, time, 0);
  return g_real.semtimedop(set, operations, count, time);
}
UNFREED_HOOK int sigtimedwait(const sigset_t* signals, siginfo_t* about, const timespec* time) {
  track::TimedWait wait(UNFREED_FRAME, time, 0);
  return g_real.sigtimedwait(signals, about, time);
}
