#include "grade/cut_short.h"

#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include "arch/signal_context.h"
#include "base/syscall.h"

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

}  // namespace

void make_again_if_cut_short(ucontext_t& context, const base::WaitingCall& call) {
  if (may_be_made_again(call.number) && !has_signal_of_its_own(context)) arch::make_again(context, call);
}

}  // namespace unfreed::grade
