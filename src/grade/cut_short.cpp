#include "grade/cut_short.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "arch/signal_context.h"
#include "base/signal_action.h"
#include "base/syscall.h"
#include "track/timed_wait.h"

namespace unfreed::grade {

namespace {

/// A call that ended with EINTR may be made again if it has done nothing by then. close() has, and what an ioctl has
/// done nobody knows.
bool may_be_made_again(long number) {
  static constexpr long kCalls[] = {
      SYS_nanosleep,
      SYS_clock_nanosleep,
      SYS_ppoll,
      SYS_pselect6,
      SYS_epoll_pwait,
      SYS_futex,
      SYS_rt_sigsuspend,
      SYS_rt_sigtimedwait,
      SYS_semop,
      SYS_semtimedop,
      SYS_msgrcv,
      SYS_msgsnd,
      SYS_mq_timedreceive,
      SYS_mq_timedsend,
      SYS_recvfrom,
      SYS_recvmsg,
      SYS_recvmmsg,
      SYS_sendto,
      SYS_sendmsg,
      SYS_accept,
      SYS_accept4,
      SYS_read,
      SYS_write,
      SYS_readv,
      SYS_writev,
      SYS_wait4,
      SYS_waitid,
      SYS_flock,
      SYS_fcntl,
      SYS_io_getevents,
      SYS_getrandom,
#ifdef SYS_poll
      SYS_poll,
      SYS_select,
      SYS_epoll_wait,
      SYS_pause,
#endif
#ifdef SYS_epoll_pwait2
      SYS_epoll_pwait2,
#endif
#ifdef SYS_io_uring_enter
      SYS_io_uring_enter,
#endif
#ifdef SYS_futex_waitv
      SYS_futex_waitv,
#endif
  };
  return std::find(std::begin(kCalls), std::end(kCalls), number) != std::end(kCalls);
}

/// Is there a signal of the program's that the thread will get as soon as it goes on? Then its call ends with EINTR as
/// it would without us.
bool has_signal_of_its_own(const ucontext_t& context) {
  uint64_t pending = 0, blocked = 0;
  base::raw_syscall(SYS_rt_sigpending, reinterpret_cast<long>(&pending), 8);
  std::memcpy(&blocked, &context.uc_sigmask, sizeof blocked);
  return pending & ~blocked;
}

constexpr uint64_t kSecondNs = 1'000'000'000, kMillisecondNs = 1'000'000;
constexpr size_t kNoArgument = 6;

/// Which argument of a call is the address of the time that it waits for.
size_t address_of_time(const base::WaitingCall& call) {
  switch (call.number) {
    case SYS_nanosleep:
      return 0;
    case SYS_rt_sigtimedwait:
      return 2;
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
#endif
    case SYS_semtimedop:
      return 3;
    case SYS_futex:
      return (call.arguments[1] & FUTEX_CMD_MASK) == FUTEX_WAIT ? 3 : kNoArgument;
    default:
      break;
  }
  return call.number == SYS_clock_nanosleep && !(call.arguments[1] & TIMER_ABSTIME) ? 2 : kNoArgument;
}

/// Where it is also where the kernel has written the rest of it by now (std::this_thread::sleep_for sleeps so), the
/// call is made again with that rest as it is.
bool has_its_rest_there(const base::WaitingCall& call) {
  if (call.number == SYS_nanosleep) return call.arguments[0] == call.arguments[1];
  return call.number == SYS_clock_nanosleep && call.arguments[2] == call.arguments[3];
}

/// Which is its limit in milliseconds, and which the address of what is to be filled in, by which it is recognised.
struct Milliseconds {
  size_t limit = kNoArgument, key = kNoArgument;
};
Milliseconds milliseconds_of(const base::WaitingCall& call) {
#ifdef SYS_poll
  if (call.number == SYS_poll) return {2, 0};
  if (call.number == SYS_epoll_wait) return {3, 1};
#endif
  return call.number == SYS_epoll_pwait ? Milliseconds{3, 1} : Milliseconds{};
}

/// A call with a hook is made again with the time that is left of its own. (Its arguments are libc's by then, which
/// does not use them afterwards.)
void shorten(ucontext_t& context, const base::WaitingCall& call) {
  track::Wait& wait = track::t_wait;
  if (!wait.is_below(call.sp) || has_its_rest_there(call)) return;
  if (size_t place = address_of_time(call); place != kNoArgument) {
    auto address = static_cast<uintptr_t>(call.arguments[place]);
    timespec time{};
    if (base::copy_memory(0, address, &time, sizeof time) != sizeof time) return;
    uint64_t whole_ns = static_cast<uint64_t>(time.tv_sec) * kSecondNs + static_cast<uint64_t>(time.tv_nsec);
    bool is_again = address == reinterpret_cast<uintptr_t>(&wait.rest);
    if (!is_again && (wait.key ? address != wait.key : whole_ns != wait.whole_ns)) return;
    if (!wait.whole_ns) wait.whole_ns = whole_ns;
    uint64_t left_ns = wait.left_ns();
    wait.rest = {static_cast<time_t>(left_ns / kSecondNs), static_cast<long>(left_ns % kSecondNs)};
    arch::set_argument(context, place, reinterpret_cast<uintptr_t>(&wait.rest));
    return;
  }
  Milliseconds argument = milliseconds_of(call);
  if (argument.limit == kNoArgument || call.arguments[argument.key] != wait.key) return;
  auto limit = static_cast<uint32_t>(call.arguments[argument.limit]);
  if (limit != (wait.given ? wait.given : wait.whole_ns / kMillisecondNs)) return;
  uint64_t left = (wait.left_ns() + kMillisecondNs - 1) / kMillisecondNs;
  wait.given = left;
  arch::set_argument(context, argument.limit, left);
}

/// Has the call a limit in time, whatever else happens? Not poll() and the like, whose −1 milliseconds are none.
bool ends_by_itself(const base::WaitingCall& call) {
  if (call.number == SYS_clock_nanosleep) return true;
  if (call.number == SYS_ppoll) return call.arguments[2] != 0;
  if (call.number == SYS_pselect6) return call.arguments[4] != 0;
#ifdef SYS_select
  if (call.number == SYS_select) return call.arguments[4] != 0;
#endif
  if (size_t place = address_of_time(call); place != kNoArgument) return call.arguments[place] != 0;
  Milliseconds argument = milliseconds_of(call);
  return argument.limit != kNoArgument && static_cast<int32_t>(call.arguments[argument.limit]) >= 0;
}

/// Has the program a handler of its own for any signal, so that a call may have ended for its sake? (libc's own two do
/// not count.)
bool handles_signals(int ours) {
  constexpr int kLast = 64, kFirstOfLibc = 32, kLastOfLibc = 33;
  for (int signal = 1; signal <= kLast; ++signal) {
    base::SignalAction action;
    if (signal == ours || (signal >= kFirstOfLibc && signal <= kLastOfLibc)) continue;
    if (base::get_signal_action(signal, action) && action.handler && action.handler != base::kIgnoreSignal) return true;
  }
  return false;
}

}  // namespace

void make_again_if_cut_short(ucontext_t& context, const base::WaitingCall& known, int signal) {
  // An earlier signal that came to nothing has made the kernel go on with a call by this one, which is not for others.
  bool is_known = known.number >= 0 && known.number != SYS_restart_syscall &&
                  arch::interrupted_call(context, known.number) == known;
  // Or it still ran when it was looked at, or has gone on since, and had just begun a call when the signal came. But
  // then a signal of the program's may have ended the call right before ours came, as its handler returned. The same
  // call, made again, might never end: "while (!stop) pause();". So only those are that end by themselves, late at
  // worst; others where the program handles no signal. (Of a call that is known the same is left to chance: it would
  // have to be the program's signal that ended it since it was looked at.)
  base::WaitingCall call = is_known ? known : arch::interrupted_call(context, arch::number_of_returned_call(context));
  if (!may_be_made_again(call.number) || has_signal_of_its_own(context)) return;
  if (!is_known && !ends_by_itself(call) && handles_signals(signal)) return;
  if (arch::make_again(context, call)) shorten(context, call);
}

}  // namespace unfreed::grade
