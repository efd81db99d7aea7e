#include "runtime/child_process.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cstdint>
#include <span>

#include "base/lock.h"
#include "base/syscall.h"

namespace unfreed::runtime {

using base::is_error;
using base::raw_syscall;

namespace {

/// In a child with a descriptor table of its own.
void close_from_3() {
#ifdef SYS_close_range
  if (raw_syscall(SYS_close_range, 3, ~0u, 0) == 0) return;
#endif
  rlimit limit{};
  raw_syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, reinterpret_cast<long>(&limit));
  constexpr rlim_t kMost = 1 << 20;
  for (long fd = 3; fd < static_cast<long>(limit.rlim_cur < kMost ? limit.rlim_cur : kMost); ++fd) base::close_file(fd);
}

/// A program without open standard descriptors would find its own files under those numbers.
void fill_standard_descriptors(bool keeps_stderr) {
  if (!keeps_stderr) base::close_file(2);
  for (;;) {
    long fd = raw_syscall(SYS_openat, AT_FDCWD, reinterpret_cast<long>("/dev/null"), O_RDWR, 0);
    if (fd > 2) base::close_file(fd);
    if (fd < 0 || fd > 2) return;
  }
}

/// The kernel's struct sigaction: all zero is SIG_DFL.
struct KernelAction {
  uint64_t words[4];
};

struct Start {
  const Program* program;
  long error;
};

int become_program(void* context) {
  auto* start = static_cast<Start*>(context);
  const Program& program = *start->program;
  KernelAction defaults{};
  for (long signal = 1; signal <= 64; ++signal)
    raw_syscall(SYS_rt_sigaction, signal, reinterpret_cast<long>(&defaults), 0, 8);
  uint64_t none = 0;
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&none), 0, 8);
  close_from_3();
  fill_standard_descriptors(program.keeps_stderr);
  start->error = raw_syscall(SYS_execve, reinterpret_cast<long>(program.path),
                             reinterpret_cast<long>(program.arguments), reinterpret_cast<long>(program.environment));
  return 127;
}

alignas(64) std::byte g_child_stack[32 * 1024];

/// clone(flags) onto another stack, where the child calls body(argument) and ends with its result.
long clone_onto_stack(long flags, std::span<std::byte> stack, int (*body)(void*), void* argument) {
#if defined(__x86_64__)
  auto* top = reinterpret_cast<uintptr_t*>(stack.data() + stack.size());
  *--top = 0;  // keeps the stack aligned at the call
  *--top = 0;
  *--top = reinterpret_cast<uintptr_t>(argument);
  *--top = reinterpret_cast<uintptr_t>(body);
  long result;
  register long parent_tid asm("r10") = 0;
  register long tls asm("r8") = 0;
  asm volatile(
      "syscall\n\t"
      "testq %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xorl %%ebp, %%ebp\n\t"
      "popq %%rax\n\t"
      "popq %%rdi\n\t"
      "call *%%rax\n\t"
      "movl %%eax, %%edi\n\t"
      "movl $60, %%eax\n\t"  // SYS_exit
      "syscall\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone), "D"(flags), "S"(top), "d"(0L), "r"(parent_tid), "r"(tls)
      : "rcx", "r11", "memory");
  return result;
#else
  // A plain copy on its own stack does the same, at the price of the page tables.
  (void)flags, (void)stack;
  long pid = raw_syscall(SYS_clone, 0, 0, 0, 0, 0);
  if (pid == 0) raw_syscall(SYS_exit_group, body(argument));
  return pid;
#endif
}

}  // namespace

long start_program(const Program& program) {
  if (!base::may_call_system()) return -EPERM;
  // Nothing of the program's may run in the child, which has its memory: signals wait until it has handlers of its own.
  base::SignalBlock block;
  Start start{&program, 0};
  long pid = clone_onto_stack(CLONE_VM | CLONE_VFORK, g_child_stack, become_program, &start);
  if (is_error(pid) || !start.error) return pid;
  wait_for(pid, true);
  return start.error;
}

long start_copy(void* context, void (*body_before_closing)(void*), int (*body)(void*)) {
  if (!base::may_call_system()) return -EPERM;
  base::SignalBlock block;
  struct Work {
    void* context;
    void (*before_closing)(void*);
    int (*body)(void*);
  } work{context, body_before_closing, body};
  // The stack here may be a signal handler's, of 8 kilobytes.
  constexpr size_t kStackBytes = 512 * 1024;
  auto* stack = static_cast<std::byte*>(base::map_memory(kStackBytes));
  if (!stack) return -ENOMEM;
  auto run = [](void* argument) {
    const Work& the = *static_cast<Work*>(argument);
    the.before_closing(the.context);
    close_from_3();
    return the.body(the.context);
  };
  long pid = clone_onto_stack(0, {stack, kStackBytes}, run, &work);
  base::unmap_memory(stack, kStackBytes);
  return pid;
}

int wait_for(long pid, bool block) {
  int status = 0;
  for (;;) {
    long result = raw_syscall(SYS_wait4, pid, reinterpret_cast<long>(&status), __WALL | (block ? 0 : WNOHANG), 0);
    if (result == -EINTR) continue;
    if (result == 0) return -1;
    if (result != pid || !WIFEXITED(status)) return -2;
    return WEXITSTATUS(status);
  }
}

}  // namespace unfreed::runtime
