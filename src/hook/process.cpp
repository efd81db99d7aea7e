// The ends of a process image that run no exit handlers, the exec family, vfork, and the unloading of code.
#include "hook/process.h"

#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdarg>

#include "base/keep_errno.h"
#include "base/syscall.h"
#include "hook/handover.h"
#include "hook/real.h"
#include "track/blind_spots.h"
#include "track/children.h"
#include "track/exec_leaks.h"
#include "track/handles.h"
#include "track/modules.h"
#include "track/thread_state.h"
#include "unwind/walk.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::ProgramName;

namespace {

constinit hook::ProcessEvents g_events{};

ProgramName named(const char* path, char* const* arguments) { return {path, AT_FDCWD, false, arguments}; }
ProgramName searched(const char* file, char* const* arguments) { return {file, AT_FDCWD, true, arguments}; }

}  // namespace

void hook::set_process_events(const ProcessEvents& events) { g_events = events; }

int hook::process_ending(int status) {
  if (!g_events.ending || track::in_vfork_child()) return status;
  return g_events.ending(status);
}

void hook::child_collected(int pid, int wait_status) {
  bool has_ended = WIFEXITED(wait_status) || WIFSIGNALED(wait_status);
  if (pid <= 0 || !has_ended) return;
  track::child_reaped(pid);
  if (!g_events.collected || track::in_vfork_child()) return;
  base::KeepErrno keep;
  g_events.collected(pid, wait_status);
}

void hook::child_collected(const siginfo_t& about) {
  // With WNOHANG and no child to report, Linux sets si_pid to 0 (POSIX leaves it open).
  if (about.si_code == CLD_EXITED)
    child_collected(about.si_pid, W_EXITCODE(about.si_status & 0xff, 0));
  else if (about.si_code == CLD_KILLED || about.si_code == CLD_DUMPED)
    child_collected(about.si_pid, W_EXITCODE(0, about.si_status));
}

void hook::command_collected(uint64_t since_boottime_ns, int wait_status) {
  if (!g_events.command_collected || track::in_vfork_child()) return;
  base::KeepErrno keep;
  g_events.command_collected(since_boottime_ns, wait_status);
}

void hook::note_subreaper(long number, long option, long value, long result) {
  if (number == SYS_prctl && option == PR_SET_CHILD_SUBREAPER && result == 0) track::set_adopts_orphans(value != 0);
}

hook::Sandbox hook::sandbox_made_by(long number, long first, long second, long third) {
  // libseccomp asks what the kernel can do by calls that must fail, for want of a filter.
  if (number == SYS_prctl && first == PR_SET_SECCOMP) {
    if (second == SECCOMP_MODE_STRICT) return Sandbox::strict;
    return third ? Sandbox::filter : Sandbox::none;
  }
  if (number == SYS_prctl && first == PR_SET_NO_NEW_PRIVS && second == 1) return Sandbox::prepared;
  if (number != SYS_seccomp) return Sandbox::none;
  if (first == SECCOMP_SET_MODE_STRICT) return second || third ? Sandbox::none : Sandbox::strict;
  return first == SECCOMP_SET_MODE_FILTER && third ? Sandbox::filter : Sandbox::none;
}

void hook::tell_of_sandbox(Sandbox sandbox, bool failed) {
  if (sandbox != Sandbox::none && g_events.sandboxing && !track::in_vfork_child()) g_events.sandboxing(sandbox, failed);
}

UNFREED_HOOK void _exit(int status) {
  g_real._exit(hook::process_ending(status));
  __builtin_unreachable();
}
UNFREED_HOOK void _Exit(int status) noexcept {
  g_real._Exit(hook::process_ending(status));
  __builtin_unreachable();
}
UNFREED_HOOK void quick_exit(int status) noexcept {
  if (g_events.quick_ending && !track::in_vfork_child()) g_events.quick_ending(status);
  g_real.quick_exit(status);
  __builtin_unreachable();
}
UNFREED_HOOK void abort() noexcept {
  hook::process_ending(-SIGABRT);
  g_real.abort();
  __builtin_unreachable();
}

hook::Replacement::Replacement(uint16_t hook, const char* named, const ProgramName& program, char* const* environment)
    : handover_(program, environment), is_reported_(g_events.replacing && !track::in_vfork_child()) {
  track::note_exec_leaks(hook, named, exec_leaks_);
  handover_.note_replacing();
  if (!is_reported_) return;
  if (handover_.is_told()) g_events.leaving(handover_.program(), handover_.obstacle());
  g_events.replacing(false);
}

void hook::Replacement::failed() {
  base::KeepErrno keep;
  if (is_reported_) g_events.replacing(true);
  track::take_exec_leaks_back(exec_leaks_);
  handover_.take_back();
}

UNFREED_HOOK int execve(const char* path, char* const* arguments, char* const* environment) noexcept {
  return hook::replacing(Hook::execve, path, named(path, arguments), environment,
                         [&](char* const* handed_on) { return g_real.execve(path, arguments, handed_on); });
}
UNFREED_HOOK int execv(const char* path, char* const* arguments) noexcept {
  return hook::replacing(Hook::execv, path, named(path, arguments), environ,
                         [&](char* const* handed_on) { return g_real.execve(path, arguments, handed_on); });
}
UNFREED_HOOK int execvp(const char* file, char* const* arguments) noexcept {
  return hook::replacing(Hook::execvp, file, searched(file, arguments), environ,
                         [&](char* const* handed_on) { return g_real.execvpe(file, arguments, handed_on); });
}
UNFREED_HOOK int execvpe(const char* file, char* const* arguments, char* const* environment) noexcept {
  return hook::replacing(Hook::execvpe, file, searched(file, arguments), environment,
                         [&](char* const* handed_on) { return g_real.execvpe(file, arguments, handed_on); });
}
UNFREED_HOOK int fexecve(int fd, char* const* arguments, char* const* environment) noexcept {
  hook::ProgramOfDescriptor program(fd);
  return hook::replacing(Hook::fexecve, nullptr, program.name(arguments), environment,
                         [&](char* const* handed_on) { return g_real.fexecve(fd, arguments, handed_on); });
}
UNFREED_HOOK int execveat(int directory, const char* path, char* const* arguments, char* const* environment,
                          int flags) noexcept {
  hook::ProgramOfDescriptor program(directory);
  bool is_descriptor = hook::names_descriptor(path, flags);
  return hook::replacing(
      Hook::execveat, path, is_descriptor ? program.name(arguments) : ProgramName{path, directory, false, arguments},
      environment,
      [&](char* const* handed_on) { return g_real.execveat(directory, path, arguments, handed_on, flags); });
}

/// Gathers a NULL-terminated argument list into an array on the stack, as libc's own execl does: `list` then stands
/// behind the NULL.
#define UNFREED_GATHER_ARGUMENTS(first, list)                                            \
  va_list list, counting;                                                                \
  va_start(list, first);                                                                 \
  va_copy(counting, list);                                                               \
  size_t count = 1;                                                                      \
  while (va_arg(counting, char*)) ++count;                                               \
  va_end(counting);                                                                      \
  auto** arguments = static_cast<char**>(__builtin_alloca((count + 1) * sizeof(char*))); \
  arguments[0] = const_cast<char*>(first);                                               \
  for (size_t i = 1; i <= count; ++i) arguments[i] = va_arg(list, char*);

UNFREED_HOOK int execl(const char* path, const char* first, ...) noexcept {
  UNFREED_GATHER_ARGUMENTS(first, list)
  va_end(list);
  return hook::replacing(Hook::execl, path, named(path, arguments), environ,
                         [&](char* const* handed_on) { return g_real.execve(path, arguments, handed_on); });
}
UNFREED_HOOK int execlp(const char* file, const char* first, ...) noexcept {
  UNFREED_GATHER_ARGUMENTS(first, list)
  va_end(list);
  return hook::replacing(Hook::execlp, file, searched(file, arguments), environ,
                         [&](char* const* handed_on) { return g_real.execvpe(file, arguments, handed_on); });
}
UNFREED_HOOK int execle(const char* path, const char* first, ...) noexcept {
  UNFREED_GATHER_ARGUMENTS(first, list)
  char** environment = va_arg(list, char**);
  va_end(list);
  return hook::replacing(Hook::execle, path, named(path, arguments), environment,
                         [&](char* const* handed_on) { return g_real.execve(path, arguments, handed_on); });
}

UNFREED_HOOK int prctl(int option, ...) noexcept {
  va_list list;
  va_start(list, option);
  long values[4];
  for (long& value : values) value = va_arg(list, long);
  va_end(list);
  auto call = [&] { return g_real.prctl(option, values[0], values[1], values[2], values[3]); };
  long result = hook::sandboxing(hook::sandbox_made_by(SYS_prctl, option, values[0], values[1]), call);
  hook::note_subreaper(SYS_prctl, option, values[0], result);
  return static_cast<int>(result);
}

UNFREED_HOOK int unshare(int flags) noexcept {
  int result = g_real.unshare(flags);
  if (result == 0 && flags & CLONE_FILES) track::note_unshared_descriptors();
  return result;
}

/// Another library may be loaded at the same addresses: everything cached about them becomes invalid.
UNFREED_HOOK int dlclose(void* handle) noexcept {
  int unloading = unwind::begin_unloading();
  track::HandleRelease release = track::handle_releasing(ledger::Kind::library, reinterpret_cast<uint64_t>(handle));
  int result = g_real.dlclose(handle);
  track::handle_released(release, result == 0);
  unwind::forget_code();
  unwind::end_unloading(unloading);
  track::forget_modules();
  return result;
}
