// Descriptors that stand for events and processes.
#include <string_view>

#include "base/syscall.h"
#include "base/text.h"
#include "hook/file_actions.h"
#include "hook/real.h"
#include "track/children.h"
#include "track/fd.h"

using namespace unfreed;
using hook::Door;
using hook::door;
using hook::g_real;
using track::fd_acquired;
using unwind::caller_registers;

UNFREED_HOOK int eventfd(unsigned count, int flags) noexcept {
  return fd_acquired(g_real.eventfd(count, flags), door(Door::eventfd), caller_registers());
}
UNFREED_HOOK int timerfd_create(clockid_t clock, int flags) noexcept {
  return fd_acquired(g_real.timerfd_create(clock, flags), door(Door::timerfd_create), caller_registers());
}
UNFREED_HOOK int signalfd(int fd, const sigset_t* mask, int flags) noexcept {
  int result = g_real.signalfd(fd, mask, flags);
  return fd == -1 ? fd_acquired(result, door(Door::signalfd), caller_registers()) : result;
}
UNFREED_HOOK int epoll_create(int size) noexcept {
  return fd_acquired(g_real.epoll_create(size), door(Door::epoll_create), caller_registers());
}
UNFREED_HOOK int epoll_create1(int flags) noexcept {
  return fd_acquired(g_real.epoll_create1(flags), door(Door::epoll_create1), caller_registers());
}
UNFREED_HOOK int inotify_init() noexcept {
  return fd_acquired(g_real.inotify_init(), door(Door::inotify_init), caller_registers());
}
UNFREED_HOOK int inotify_init1(int flags) noexcept {
  return fd_acquired(g_real.inotify_init1(flags), door(Door::inotify_init1), caller_registers());
}
UNFREED_HOOK int fanotify_init(unsigned flags, unsigned event_flags) noexcept {
  return fd_acquired(g_real.fanotify_init(flags, event_flags), door(Door::fanotify_init), caller_registers());
}
UNFREED_HOOK int pidfd_open(pid_t pid, unsigned flags) noexcept {
  return fd_acquired(g_real.pidfd_open(pid, flags), door(Door::pidfd_open), caller_registers());
}
UNFREED_HOOK int pidfd_getfd(int pidfd, int fd, unsigned flags) noexcept {
  return fd_acquired(g_real.pidfd_getfd(pidfd, fd, flags), door(Door::pidfd_getfd), caller_registers());
}

namespace {

/// The process that a pidfd stands for, from its line "Pid:" in /proc; 0 unknown.
pid_t pid_behind(int pidfd) {
  base::FixedText<48> path;
  path.add("/proc/self/fdinfo/").add_signed(pidfd);
  char text[512];
  long size = base::read_file(path.c_str(), text, sizeof text);
  std::string_view info(text, size > 0 ? static_cast<size_t>(size) : 0);
  constexpr std::string_view kLine = "\nPid:\t";
  size_t at = info.find(kLine);
  pid_t pid = 0;
  if (at == info.npos) return 0;
  for (at += kLine.size(); at < info.size() && info[at] >= '0' && info[at] <= '9'; ++at)
    pid = pid * 10 + (info[at] - '0');
  return pid;
}

/// The spawn functions return an error number, and set no errno; −1 comes from the stand-in for a missing one.
template <class Call>
int spawning(const int* pidfd, const char* program, const posix_spawn_file_actions_t* actions, Door d,
             const unwind::Registers& from, Call call) {
  track::Crossings crossings;
  track::note_crossings(door(d), program, crossings, hook::fds_of_child(actions));
  bool watched = track::child_starting();
  int error = call();
  int saved = errno;
  if (error < 0) error = ENOSYS;
  if (error) track::take_crossings_back(crossings);
  if (!error && pidfd) fd_acquired(*pidfd, door(d), from);
  errno = error;
  if (watched) track::child_started(error ? -1 : pidfd ? pid_behind(*pidfd) : 0, door(d), from);
  errno = saved;
  return error;
}

}  // namespace

UNFREED_HOOK int pidfd_spawn(int* pidfd, const char* path, const posix_spawn_file_actions_t* actions,
                             const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  return spawning(pidfd, path, actions, Door::pidfd_spawn, caller_registers(),
                  [&] { return g_real.pidfd_spawn(pidfd, path, actions, attributes, arguments, environment); });
}
UNFREED_HOOK int pidfd_spawnp(int* pidfd, const char* file, const posix_spawn_file_actions_t* actions,
                              const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  return spawning(pidfd, file, actions, Door::pidfd_spawnp, caller_registers(),
                  [&] { return g_real.pidfd_spawnp(pidfd, file, actions, attributes, arguments, environment); });
}
