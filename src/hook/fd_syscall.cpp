// syscall(): descriptors that are made and ended by system call number, among them those of calls for which libc has no
// function.
#include <linux/bpf.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstdarg>
#include <cstring>

#include "hook/mapping.h"
#include "hook/messages.h"
#include "hook/process.h"
#include "hook/real.h"
#include "hook/results.h"
#include "hook/rings.h"
#include "track/blind_spots.h"
#include "track/children.h"
#include "track/exec_leaks.h"
#include "track/fd.h"
#include "track/own_child.h"
#include "track/threads.h"
#include "track/timed_wait.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::caller_registers;
using unwind::Registers;

// Calls younger than the oldest kernel headers this is built with; these numbers are the same on every architecture.
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif

namespace {

/// What the caller gave, as registers: no system call takes more.
struct Arguments {
  long values[6];
  long operator[](size_t i) const { return values[i]; }
  int fd(size_t i) const { return static_cast<int>(values[i]); }
  template <class Type>
  Type* pointer(size_t i) const {
    return reinterpret_cast<Type*>(values[i]);
  }
};

/// bpf(2)'s commands that return a descriptor.
bool makes_bpf_descriptor(long command) {
  constexpr long kTokenCreate = 36;  // Linux 6.9
  switch (command) {
    case BPF_MAP_CREATE:
    case BPF_PROG_LOAD:
    case BPF_OBJ_GET:
    case BPF_PROG_GET_FD_BY_ID:
    case BPF_MAP_GET_FD_BY_ID:
    case BPF_RAW_TRACEPOINT_OPEN:
    case BPF_BTF_LOAD:
    case BPF_BTF_GET_FD_BY_ID:
    case BPF_LINK_CREATE:
    case BPF_LINK_GET_FD_BY_ID:
    case BPF_ENABLE_STATS:
    case BPF_ITER_CREATE:
    case kTokenCreate:
      return true;
    default:
      return false;
  }
}

/// io_uring_setup returns a descriptor unless the ring is to be known by a registered index alone (Linux 6.5).
bool makes_ring_descriptor(const Arguments& arguments) {
  struct {  // the beginning of io_uring_params
    uint32_t sq_entries, cq_entries, flags;
  } params;
  std::memcpy(&params, arguments.pointer<void>(1), sizeof params);
  return !(params.flags & hook::kRegisteredFdOnly);
}

/// Does this call, having succeeded, return a new descriptor?
bool returns_descriptor(long number, const Arguments& arguments) {
  switch (number) {
#ifdef SYS_open
    case SYS_open:
    case SYS_creat:
    case SYS_eventfd:
    case SYS_epoll_create:
    case SYS_inotify_init:
#endif
    case SYS_openat:
    case SYS_openat2:
    case SYS_open_by_handle_at:
    case SYS_open_tree:
    case SYS_open_tree_attr:
    case SYS_fsopen:
    case SYS_fspick:
    case SYS_fsmount:
    case SYS_memfd_create:
    case SYS_memfd_secret:
    case SYS_dup:
    case SYS_socket:
    case SYS_accept:
    case SYS_accept4:
    case SYS_eventfd2:
    case SYS_timerfd_create:
    case SYS_epoll_create1:
    case SYS_inotify_init1:
    case SYS_fanotify_init:
    case SYS_userfaultfd:
    case SYS_perf_event_open:
    case SYS_pidfd_open:
    case SYS_pidfd_getfd:
    case SYS_mq_open:
      return true;
#ifdef SYS_signalfd
    case SYS_signalfd:
#endif
    case SYS_signalfd4:
      return arguments.fd(0) == -1;  // else it changes the one given
    case SYS_fcntl:
      return arguments.fd(1) == F_DUPFD || arguments.fd(1) == F_DUPFD_CLOEXEC;
    case SYS_bpf:
      return makes_bpf_descriptor(arguments[0]);
    case SYS_io_uring_setup:
      return makes_ring_descriptor(arguments);
    case SYS_landlock_create_ruleset:
      return arguments[2] == 0;  // with flags it answers questions
    case SYS_seccomp:
      return arguments[0] == SECCOMP_SET_MODE_FILTER && arguments[1] & SECCOMP_FILTER_FLAG_NEW_LISTENER;
    default:
      return false;
  }
}

/// What is known of a descriptor by the call that made it.
track::FdDetails details_of(long number) {
  track::FdDetails details;
  if (number == SYS_fanotify_init) details.flags = ledger::kFdFanotify;
  if (number == SYS_userfaultfd) details.flags = ledger::kFdUserfault;
  return details;
}

/// Calls that hand descriptors over through memory.
void take_from_memory(long number, const Arguments& arguments, long result, const Registers& from) {
  auto pair = [&](const int* descriptors) {
    track::fd_acquired(descriptors[0], hook_number(Hook::syscall), from);
    track::fd_acquired(descriptors[1], hook_number(Hook::syscall), from);
  };
  switch (number) {
#ifdef SYS_pipe
    case SYS_pipe:
#endif
    case SYS_pipe2:
      return pair(arguments.pointer<int>(0));
    case SYS_socketpair:
      return pair(arguments.pointer<int>(3));
    case SYS_ioctl:
      return hook::take_result_of_ioctl(static_cast<int>(result), static_cast<unsigned long>(arguments[1]),
                                        arguments.pointer<void>(2), Hook::syscall, from);
    case SYS_getsockopt:
      return hook::take_socket_option(arguments.fd(1), arguments.fd(2), arguments.pointer<void>(3),
                                      *arguments.pointer<socklen_t>(4), Hook::syscall, from);
    case SYS_read:
      if (result > 0)
        hook::take_events(arguments.fd(0), arguments.pointer<void>(1), static_cast<size_t>(result), Hook::syscall,
                          from);
      return;
    case SYS_recvmsg:
      return hook::take_rights(*arguments.pointer<msghdr>(1), Hook::syscall, from);
    case SYS_recvmmsg:
      for (long i = 0; i < result; ++i)
        hook::take_rights(arguments.pointer<mmsghdr>(1)[i].msg_hdr, Hook::syscall, from);
      return;
    case SYS_clone:
      if (result > 0 && arguments[0] & CLONE_PIDFD)
        track::fd_acquired(*arguments.pointer<int>(2), hook_number(Hook::syscall), from);
      return;
    case SYS_clone3: {
      auto* request = arguments.pointer<uint64_t>(0);  // clone_args: flags, address of the pidfd …
      if (result > 0 && request[0] & CLONE_PIDFD)
        track::fd_acquired(*reinterpret_cast<int*>(request[1]), hook_number(Hook::syscall), from);
      return;
    }
    default:
      return;
  }
}

/// Has this call, which succeeded, started a thread instead of a process?
bool started_thread(long number, const Arguments& arguments) {
  if (number == SYS_clone) return arguments[0] & CLONE_THREAD;
  return number == SYS_clone3 && *arguments.pointer<uint64_t>(0) & CLONE_THREAD;
}

template <class Call>
long starting(long number, const Arguments& arguments, const Registers& from, Call call) {
  track::ChildStart start = track::child_starting();
  long result = call();
  if (result == 0) return 0;
  bool is_thread = result > 0 && started_thread(number, arguments);
  if (result > 0) take_from_memory(number, arguments, result, from);
  track::child_started(start, is_thread ? 0 : static_cast<pid_t>(result), hook_number(Hook::syscall), from);
  return result;
}

/// execve and execveat: `call` takes its arguments from `arguments`.
template <class Call>
long executing(long number, Arguments& arguments, Call call) {
  bool is_at = number == SYS_execveat;
  size_t path = is_at ? 1 : 0, environment = is_at ? 3 : 2;
  hook::ProgramOfDescriptor descriptor(arguments.fd(0));
  auto* words = arguments.pointer<char* const>(path + 1);
  hook::ProgramName program{arguments.pointer<const char>(path), is_at ? arguments[0] : AT_FDCWD, false, words};
  if (is_at && hook::names_descriptor(program.text, arguments.fd(4))) program = descriptor.name(words);
  return hook::replacing(Hook::syscall, arguments.pointer<const char>(path), program,
                         arguments.pointer<char* const>(environment), [&](char* const* handed_on) {
                           arguments.values[environment] = reinterpret_cast<long>(handed_on);
                           return call();
                         });
}

/// A function of its own, as the frame that the wait is recognised by is a small one.
template <class Call>
[[gnu::noinline]] long waiting_on_futex(const Arguments& arguments, Call call) {
  bool is_relative = (arguments[1] & FUTEX_CMD_MASK) == FUTEX_WAIT && arguments[3];
  if (!is_relative) return call();
  track::TimedWait wait(__builtin_frame_address(0), arguments.pointer<void>(3), 0);
  return call();
}

template <class Call>
long traced_call(long number, Arguments& arguments, const Registers& from, Call call) {
  switch (number) {
    case SYS_close:
      return track::fd_closing(arguments.fd(0), {hook_number(Hook::syscall), from}, call);
#ifdef SYS_dup2
    case SYS_dup2:
#endif
    case SYS_dup3:
      return track::fd_replacing(arguments.fd(0), arguments.fd(1), hook_number(Hook::syscall), from,
                                 [&] { return static_cast<int>(call()); });
    case SYS_close_range: {
      auto close_range = [&] {
        long result = call();
        if (result == 0 && arguments[2] & CLOSE_RANGE_UNSHARE) track::note_unshared_descriptors();
        return result;
      };
      if (arguments[2] & CLOSE_RANGE_CLOEXEC) return close_range();
      return track::fd_range_closing({static_cast<unsigned>(arguments[0]), static_cast<unsigned>(arguments[1])},
                                     {hook_number(Hook::syscall), from}, close_range);
    }
#ifdef SYS_fork
    case SYS_fork:
#endif
    case SYS_clone:
    case SYS_clone3:
      return starting(number, arguments, from, call);
    case SYS_execve:
    case SYS_execveat:
      return executing(number, arguments, call);
    case SYS_mmap: {
      auto* result = reinterpret_cast<void*>(call());
      hook::mapping(result, {static_cast<size_t>(arguments[1]), arguments.fd(2), arguments.fd(3), arguments.fd(4)},
                    Hook::syscall, from);
      return reinterpret_cast<long>(result);
    }
    case SYS_munmap:
      return hook::unmapping(arguments.pointer<void>(0), static_cast<size_t>(arguments[1]), call);
    case SYS_mremap:
      return reinterpret_cast<long>(hook::remapping({arguments.pointer<void>(0), static_cast<size_t>(arguments[1]),
                                                     static_cast<size_t>(arguments[2]), arguments.fd(3)},
                                                    Hook::syscall, from,
                                                    [&] { return reinterpret_cast<void*>(call()); }));
    case SYS_exit:
      if (track::is_only_known_thread()) hook::tell_of_sandbox(hook::Sandbox::suspected, false);
      if (!track::is_only_thread()) return call();
      [[fallthrough]];
    case SYS_exit_group:
      arguments.values[0] = hook::process_ending(arguments.fd(0));
      return call();
    case SYS_waitid: {
      siginfo_t own{};
      bool wants = arguments.pointer<siginfo_t>(2);
      if (!wants) arguments.values[2] = reinterpret_cast<long>(&own);
      auto* about = arguments.pointer<siginfo_t>(2);
      long result;
      do result = call();
      while (result == 0 && track::own_child_met(*about, static_cast<int>(arguments[3])));
      if (result == 0 && !(arguments[3] & WNOWAIT)) hook::child_collected(*about);
      return result;
    }
    case SYS_futex:
      return waiting_on_futex(arguments, call);
    case SYS_wait4: {
      int own = 0;
      int* status = arguments.pointer<int>(1) ? arguments.pointer<int>(1) : &own;
      arguments.values[1] = reinterpret_cast<long>(status);
      long pid;
      do pid = call();
      while (track::own_child_collected(static_cast<pid_t>(pid), *status));
      hook::child_collected(static_cast<pid_t>(pid), *status);
      return pid;
    }
    default:
      break;
  }
  long result = hook::sandboxing(hook::sandbox_made_by(number, arguments[0], arguments[1], arguments[2]), call);
  hook::note_subreaper(number, arguments[0], arguments[1], result);
  if (number == SYS_unshare && result == 0 && arguments[0] & CLONE_FILES) track::note_unshared_descriptors();
  if (result < 0) {
    if ((errno == EMFILE || errno == ENFILE) && returns_descriptor(number, arguments))
      track::fd_acquired(-1, hook_number(Hook::syscall), from);
  } else if (returns_descriptor(number, arguments)) {
    track::fd_acquired(static_cast<int>(result), hook_number(Hook::syscall), from, details_of(number));
  } else {
    take_from_memory(number, arguments, result, from);
  }
  return result;
}

}  // namespace

UNFREED_HOOK long syscall(long number, ...) noexcept {
  Arguments arguments;
  va_list list;
  va_start(list, number);
  for (long& value : arguments.values) value = va_arg(list, long);
  va_end(list);
  return traced_call(number, arguments, caller_registers(), [&] {
    return g_real.syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
  });
}
