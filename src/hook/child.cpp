// Functions that start child processes, and that wait for them.
#include <fcntl.h>
#include <paths.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <string_view>

#include "base/scan.h"
#include "base/syscall.h"
#include "base/text.h"
#include "hook/file_actions.h"
#include "hook/process.h"
#include "hook/real.h"
#include "ledger/ownership.h"
#include "track/children.h"
#include "track/fd.h"
#include "track/own_child.h"
#include "track/thread_state.h"
#include "unwind/objects.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::caller_registers;
using unwind::Registers;

UNFREED_HOOK pid_t fork() noexcept {
  return track::child_forking(hook_number(Hook::fork), caller_registers(), [] { return g_real.fork(); });
}
UNFREED_HOOK pid_t __fork() noexcept {
  return track::child_forking(hook_number(Hook::__fork), caller_registers(), [] { return g_real.__fork(); });
}
UNFREED_HOOK pid_t _Fork() noexcept {
  return track::child_forking(hook_number(Hook::_Fork), caller_registers(), [] { return g_real._Fork(); });
}

namespace {

/// Is it libc's, which the hook can stand in for?
bool is_libc_daemon() {
  unwind::Object object;
  auto address = [](auto* function) { return reinterpret_cast<uintptr_t>(function); };
  return unwind::find_object(address(g_real.daemon), object) && address(g_real.fork) >= object.image.low &&
         address(g_real.fork) < object.image.high;
}

/// The rest of daemon(3), in the child. 0, or -errno.
long become_daemon(bool keeps_folder, bool keeps_streams) {
  using base::is_error;
  using base::raw_syscall;
  long result = raw_syscall(SYS_setsid);
  if (is_error(result)) return result;
  if (!keeps_folder) raw_syscall(SYS_chdir, reinterpret_cast<long>("/"));  // daemon(3) does not look at the result
  if (keeps_streams) return 0;
  long null = raw_syscall(SYS_openat, AT_FDCWD, reinterpret_cast<long>(_PATH_DEVNULL), O_RDWR, 0);
  if (is_error(null)) return null;
  struct stat status {};
  result = raw_syscall(SYS_fstat, null, reinterpret_cast<long>(&status));
  if (is_error(result)) return result;
  if (!S_ISCHR(status.st_mode) || status.st_rdev != makedev(1, 3)) {
    raw_syscall(SYS_close, null);
    return -ENODEV;
  }
  for (int stream = 0; stream <= 2; ++stream)
    if (null != stream) raw_syscall(SYS_dup3, null, stream, 0);
  if (null > 2) raw_syscall(SYS_close, null);
  return 0;
}

}  // namespace

/// libc's ends the parent by a call that no hook sees. So what it does is done here, as libc does it.
UNFREED_HOOK int daemon(int keeps_folder, int keeps_streams) noexcept {
  if (!is_libc_daemon()) return g_real.daemon(keeps_folder, keeps_streams);
  pid_t pid = track::child_forking(hook_number(Hook::daemon), caller_registers(), [] { return g_real.fork(); });
  if (pid == -1) return -1;
  if (pid > 0) g_real._exit(hook::process_ending(0));
  long result = become_daemon(keeps_folder, keeps_streams);
  if (base::is_error(result)) {
    errno = static_cast<int>(-result);
    return -1;
  }
#ifndef __GLIBC__
  // musl's forks again: the process leads no session, and gets no terminal by opening one.
  pid = track::child_forking(hook_number(Hook::daemon), caller_registers(), [] { return g_real.fork(); });
  if (pid == -1) return -1;
  if (pid > 0) g_real._exit(hook::process_ending(0));
#endif
  return 0;
}

namespace {

/// clone's last three arguments are there or not, as the flags say: either way they may be passed on.
struct CloneArguments {
  int (*routine)(void*);
  void* stack;
  int flags;
  void* argument;
  long rest[3];
};

/// A child that is lent the caller's memory until it execs has the caller's thread-local storage too, unless it was
/// given its own: what it does to its descriptors must not be taken for the caller's doing.
bool borrows_memory(int flags) {
  return (flags & CLONE_VM) && (flags & CLONE_VFORK) && !(flags & (CLONE_SETTLS | CLONE_THREAD));
}

/// What such a child is to run, kept by the caller, who waits for it.
struct Borrower {
  int (*routine)(void*);
  void* argument;
};
int run_borrower(void* given) {
  track::enter_vfork_child();
  auto* borrower = static_cast<Borrower*>(given);
  return borrower->routine(borrower->argument);
}

template <class Call>
int cloning(const CloneArguments& arguments, Hook hook, const Registers& from, Call call) {
  if (arguments.flags & CLONE_THREAD) return call(arguments.routine, arguments.argument);
  track::ChildStart start = track::child_starting();
  bool borrows = arguments.routine && borrows_memory(arguments.flags);
  if (borrows) track::lend_memory();
  Borrower borrower{arguments.routine, arguments.argument};
  int pid = borrows ? call(run_borrower, static_cast<void*>(&borrower)) : call(arguments.routine, arguments.argument);
  if (borrows) track::back_from_vfork_child();
  // clone's parent_tid is where the kernel puts a pidfd.
  if (pid > 0 && arguments.flags & CLONE_PIDFD) {
    auto* pidfd = reinterpret_cast<int*>(arguments.rest[0]);
    track::fd_acquired(*pidfd, hook_number(hook), from);
  }
  track::child_started(start, pid, hook_number(hook), from);
  return pid;
}

/// The process that a pidfd stands for, from its line "Pid:" in /proc; 0 unknown.
pid_t pid_behind(int pidfd) {
  base::FixedText<48> path;
  path.add("/proc/thread-self/fdinfo/").add_signed(pidfd);
  char text[512];
  long size = base::read_file(path.c_str(), text, sizeof text);
  std::string_view info(text, size > 0 ? static_cast<size_t>(size) : 0);
  constexpr std::string_view kLine = "\nPid:\t";
  size_t at = info.find(kLine);
  if (at == info.npos) return 0;
  uint64_t pid = 0;
  info = base::slice(info, at + kLine.size());
  base::take_number(info, pid);
  return static_cast<pid_t>(pid);
}

/// What a spawn function starts.
struct Spawned {
  const char* program;
  bool is_searched;
  const posix_spawn_file_actions_t* actions;
  char* const* arguments;
  char* const* environment;
};

/// The spawn functions return an error number, and set no errno; −1 comes from the stand-in for a missing one. `call`
/// takes the environment. `acquired` is called when a process was started; `pid_of` tells which, where it is asked for.
template <class Call, class Acquired, class PidOf>
int spawning(const Spawned& spawned, Hook hook, const Registers& from, Call call, Acquired acquired, PidOf pid_of) {
  hook::FileActions actions(spawned.actions);
  base::FixedText<1024> storage;
  hook::ProgramName program = actions.program_of_child(spawned.program, spawned.is_searched, storage);
  program.arguments = spawned.arguments;
  hook::Handover handover(program, spawned.environment);
  track::ExecLeaks exec_leaks;
  track::note_exec_leaks(hook_number(hook), spawned.program, exec_leaks, actions.fds_of_child());
  track::ChildStart start = track::child_starting();
  int error = call(handover.environment());
  int saved = errno;
  if (error < 0) error = ENOSYS;
  if (error) {
    track::take_exec_leaks_back(exec_leaks);
  } else {
    acquired();
    if (handover.is_told()) handover.note_started(pid_of());
  }
  errno = error;
  track::child_started(start, error ? -1 : start.number ? pid_of() : 0, hook_number(hook), from);
  errno = saved;
  return error;
}

/// `call` takes the place for the pid: the caller's, or one of our own where the caller does not want it.
template <class Call>
int spawning_for_pid(pid_t* place, const Spawned& spawned, Hook hook, const Registers& from, Call call) {
  pid_t own = 0;
  pid_t* pid = place ? place : &own;
  return spawning(
      spawned, hook, from, [&](char* const* handed_on) { return call(pid, handed_on); }, [] {}, [&] { return *pid; });
}

template <class Call>
int spawning_for_pidfd(const int* pidfd, const Spawned& spawned, Hook hook, const Registers& from, Call call) {
  auto acquired = [&] {
    if (pidfd) track::fd_acquired(*pidfd, hook_number(hook), from);
  };
  return spawning(spawned, hook, from, call, acquired, [&] { return pidfd ? pid_behind(*pidfd) : 0; });
}

/// `call` takes the place for the status: the caller's, or one of our own where the caller does not want it.
template <class Call>
pid_t collecting(int* place, Call call) {
  int own = 0;
  int* status = place ? place : &own;
  pid_t pid;
  do pid = call(status);
  while (track::own_child_collected(pid, *status));
  hook::child_collected(pid, *status);
  return pid;
}

}  // namespace

#define UNFREED_TAKE_CLONE_ARGUMENTS                             \
  CloneArguments arguments{routine, stack, flags, argument, {}}; \
  va_list list;                                                  \
  va_start(list, argument);                                      \
  for (long& value : arguments.rest) value = va_arg(list, long); \
  va_end(list);

UNFREED_HOOK int clone(int (*routine)(void*), void* stack, int flags, void* argument, ...) noexcept {
  UNFREED_TAKE_CLONE_ARGUMENTS
  return cloning(arguments, Hook::clone, caller_registers(), [&](int (*run)(void*), void* given) {
    return g_real.clone(run, stack, flags, given, arguments.rest[0], arguments.rest[1], arguments.rest[2]);
  });
}
UNFREED_HOOK int __clone(int (*routine)(void*), void* stack, int flags, void* argument, ...) noexcept {
  UNFREED_TAKE_CLONE_ARGUMENTS
  return cloning(arguments, Hook::__clone, caller_registers(), [&](int (*run)(void*), void* given) {
    return g_real.__clone(run, stack, flags, given, arguments.rest[0], arguments.rest[1], arguments.rest[2]);
  });
}

UNFREED_HOOK int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                             const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  return spawning_for_pid(pid, {path, false, actions, arguments, environment}, Hook::posix_spawn, caller_registers(),
                          [&](pid_t* place, char* const* handed_on) {
                            return g_real.posix_spawn(place, path, actions, attributes, arguments, handed_on);
                          });
}
UNFREED_HOOK int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                              const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  return spawning_for_pid(pid, {file, true, actions, arguments, environment}, Hook::posix_spawnp, caller_registers(),
                          [&](pid_t* place, char* const* handed_on) {
                            return g_real.posix_spawnp(place, file, actions, attributes, arguments, handed_on);
                          });
}

UNFREED_HOOK int pidfd_spawn(int* pidfd, const char* path, const posix_spawn_file_actions_t* actions,
                             const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  return spawning_for_pidfd(pidfd, {path, false, actions, arguments, environment}, Hook::pidfd_spawn,
                            caller_registers(), [&](char* const* handed_on) {
                              return g_real.pidfd_spawn(pidfd, path, actions, attributes, arguments, handed_on);
                            });
}
UNFREED_HOOK int pidfd_spawnp(int* pidfd, const char* file, const posix_spawn_file_actions_t* actions,
                              const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  return spawning_for_pidfd(pidfd, {file, true, actions, arguments, environment}, Hook::pidfd_spawnp,
                            caller_registers(), [&](char* const* handed_on) {
                              return g_real.pidfd_spawnp(pidfd, file, actions, attributes, arguments, handed_on);
                            });
}

// system waits for the child itself.
UNFREED_HOOK int system(const char* command) {
  track::ExecLeaks exec_leaks;
  if (command) track::note_exec_leaks(hook_number(Hook::system), command, exec_leaks);
  hook::Handover shell({command ? hook::kShell : nullptr}, environ);
  uint64_t since = base::may_call_system() ? ledger::boottime_ns() : 0;
  int result = g_real.system(command);
  if (result == -1)
    track::take_exec_leaks_back(exec_leaks);
  else
    shell.note_started(0);
  if (command && result != -1) hook::command_collected(since, result);
  return result;
}

UNFREED_HOOK pid_t wait(int* status) {
  return collecting(status, [](int* place) { return g_real.wait(place); });
}
UNFREED_HOOK pid_t __wait(int* status) {
  return collecting(status, [](int* place) { return g_real.__wait(place); });
}
UNFREED_HOOK pid_t waitpid(pid_t pid, int* status, int options) {
  return collecting(status, [&](int* place) { return g_real.waitpid(pid, place, options); });
}
UNFREED_HOOK pid_t __waitpid(pid_t pid, int* status, int options) {
  return collecting(status, [&](int* place) { return g_real.__waitpid(pid, place, options); });
}
UNFREED_HOOK pid_t wait3(int* status, int options, rusage* usage) noexcept {
  return collecting(status, [&](int* place) { return g_real.wait3(place, options, usage); });
}
UNFREED_HOOK pid_t wait4(pid_t pid, int* status, int options, rusage* usage) noexcept {
  return collecting(status, [&](int* place) { return g_real.wait4(pid, place, options, usage); });
}
UNFREED_HOOK int waitid(idtype_t type, id_t id, siginfo_t* about, int options) {
  siginfo_t own{};
  siginfo_t* place = about ? about : &own;
  int result;
  do result = g_real.waitid(type, id, place, options);
  while (result == 0 && track::own_child_met(*place, options));
  if (result == 0 && !(options & WNOWAIT)) hook::child_collected(*place);
  return result;
}
