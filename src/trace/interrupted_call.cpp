#include "trace/interrupted_call.h"

#include <elf.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include <cerrno>
#include <climits>

#include "base/syscall.h"
#include "trace/stopped_thread.h"
#include "trace/thread_memory.h"

namespace unfreed::trace {

namespace {

enum class Limit : uint8_t { none, milliseconds, timespec };

struct Wait {
  long number;
  Limit limit;
  unsigned argument;  ///< which one the limit is
  int at_its_end;     ///< what the call then results in
};

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
// What has been transferred ends the others, so what ends with EINTR has had no effect.
constexpr Wait kWaits[] = {
#ifdef SYS_epoll_wait
    {SYS_epoll_wait, Limit::milliseconds, 3, 0},
#endif
    {SYS_epoll_pwait, Limit::milliseconds, 3, 0},
    {SYS_epoll_pwait2, Limit::timespec, 3, 0},
    {SYS_semop, Limit::none, 0, 0},
    {SYS_semtimedop, Limit::timespec, 3, -EAGAIN},
    {SYS_rt_sigtimedwait, Limit::timespec, 2, -EAGAIN},
    {SYS_io_getevents, Limit::timespec, 4, 0},
#ifdef SYS_io_pgetevents
    {SYS_io_pgetevents, Limit::timespec, 4, 0},
#endif
    {SYS_io_uring_enter, Limit::none, 0, 0},
    {SYS_accept, Limit::none, 0, 0},
    {SYS_accept4, Limit::none, 0, 0},
    {SYS_read, Limit::none, 0, 0},
    {SYS_readv, Limit::none, 0, 0},
    {SYS_recvfrom, Limit::none, 0, 0},
    {SYS_recvmsg, Limit::none, 0, 0},
    {SYS_recvmmsg, Limit::none, 0, 0},
    {SYS_write, Limit::none, 0, 0},
    {SYS_writev, Limit::none, 0, 0},
    {SYS_sendto, Limit::none, 0, 0},
    {SYS_sendmsg, Limit::none, 0, 0},
    {SYS_sendmmsg, Limit::none, 0, 0},
};

const Wait* find_wait(long number) {
  for (const Wait& one : kWaits)
    if (one.number == number) return &one;
  return nullptr;
}

constexpr uint64_t kForEver = UINT64_MAX;

uint64_t limit_ns(int tid, const Wait& wait, const arch::TracedRegisters& registers) {
  uint64_t value = wait.limit == Limit::none ? 0 : registers.argument(wait.argument);
  if (wait.limit == Limit::milliseconds) {
    auto milliseconds = static_cast<int>(value);
    return milliseconds < 0 ? kForEver : static_cast<uint64_t>(milliseconds) * 1'000'000;
  }
  timespec time{};
  constexpr time_t kMostSeconds = 1'000'000'000;
  if (!value || !ThreadMemory(tid).read_value(value, time) || time.tv_sec < 0 || time.tv_sec > kMostSeconds)
    return kForEver;
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace

void note_wait(WaitBegun& wait, const __ptrace_syscall_info& begun) {
  wait.may_be_cut = find_wait(static_cast<long>(begun.entry.nr));
  bool goes_on = wait.is_resumed && wait.may_be_cut;
  wait.is_resumed = false;
  if (!goes_on) wait.since_ns = base::monotonic_ns();
}

void go_on_waiting(int tid, WaitBegun& wait) {
  constexpr long kAgainUnlessHandled = -514;  // ERESTARTNOHAND, of the kernel alone
  arch::TracedRegisters registers;
  if (!arch::kResumesCalls || !read_registers(tid, registers) || registers.result() != -EINTR) return;
  const Wait* found = find_wait(registers.call());
  if (!found) return;
  uint64_t now = base::monotonic_ns();
  if (!wait.since_ns) wait.since_ns = now;
  uint64_t limit = limit_ns(tid, *found, registers);
  bool is_over = limit != kForEver && now - wait.since_ns >= limit;
  // The signal may be another thread's by now. Without one the kernel would not look at the result, and hand it on.
  ptrace(PTRACE_INTERRUPT, tid, 0, 0);
  registers.set_result(is_over ? found->at_its_end : kAgainUnlessHandled);
  wait.is_resumed = !is_over;
  iovec place{&registers.raw, sizeof registers.raw};
  ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &place);
}

}  // namespace unfreed::trace
