// Descriptors that stand for events and processes.
#include "hook/real.h"
#include "track/fd.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using track::fd_acquired;
using unwind::caller_registers;

UNFREED_HOOK int eventfd(unsigned count, int flags) noexcept {
  return fd_acquired(g_real.eventfd(count, flags), hook_number(Hook::eventfd), caller_registers());
}
UNFREED_HOOK int timerfd_create(clockid_t clock, int flags) noexcept {
  return fd_acquired(g_real.timerfd_create(clock, flags), hook_number(Hook::timerfd_create), caller_registers());
}
UNFREED_HOOK int signalfd(int fd, const sigset_t* mask, int flags) noexcept {
  int result = g_real.signalfd(fd, mask, flags);
  return fd == -1 ? fd_acquired(result, hook_number(Hook::signalfd), caller_registers()) : result;
}
UNFREED_HOOK int epoll_create(int size) noexcept {
  return fd_acquired(g_real.epoll_create(size), hook_number(Hook::epoll_create), caller_registers());
}
UNFREED_HOOK int epoll_create1(int flags) noexcept {
  return fd_acquired(g_real.epoll_create1(flags), hook_number(Hook::epoll_create1), caller_registers());
}
UNFREED_HOOK int inotify_init() noexcept {
  return fd_acquired(g_real.inotify_init(), hook_number(Hook::inotify_init), caller_registers());
}
UNFREED_HOOK int inotify_init1(int flags) noexcept {
  return fd_acquired(g_real.inotify_init1(flags), hook_number(Hook::inotify_init1), caller_registers());
}
UNFREED_HOOK int fanotify_init(unsigned flags, unsigned event_flags) noexcept {
  track::FdDetails details;
  details.flags = ledger::kFdFanotify;
  return fd_acquired(g_real.fanotify_init(flags, event_flags), hook_number(Hook::fanotify_init), caller_registers(),
                     details);
}
UNFREED_HOOK int pidfd_open(pid_t pid, unsigned flags) noexcept {
  return fd_acquired(g_real.pidfd_open(pid, flags), hook_number(Hook::pidfd_open), caller_registers());
}
UNFREED_HOOK int pidfd_getfd(int pidfd, int fd, unsigned flags) noexcept {
  return fd_acquired(g_real.pidfd_getfd(pidfd, fd, flags), hook_number(Hook::pidfd_getfd), caller_registers());
}
