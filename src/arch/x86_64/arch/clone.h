// Other stacks than the thread's own, for children and for calls: x86-64.
#pragma once

#include <sched.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/syscall.h"

namespace unfreed::arch {

/// clone(flags) onto another stack, where the child calls body(argument) and ends with its result. `pid` (may be null)
/// receives the child's before it runs.
inline long clone_onto_stack(long flags, std::span<std::byte> stack, std::atomic<pid_t>* pid, int (*body)(void*),
                             void* argument) {
  if (pid) flags |= CLONE_PARENT_SETTID;
  auto* top = reinterpret_cast<uintptr_t*>(stack.data() + stack.size());
  *--top = 0;  // keeps the stack aligned at the call
  *--top = 0;
  *--top = reinterpret_cast<uintptr_t>(argument);
  *--top = reinterpret_cast<uintptr_t>(body);
  long result;
  register long child_tid asm("r10") = 0;
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
      : "a"(SYS_clone), "D"(flags), "S"(top), "d"(pid), "r"(child_tid), "r"(tls)
      : "rcx", "r11", "memory");
  return result;
}

/// Calls body(argument) on another stack.
inline int call_on_stack(std::span<std::byte> stack, int (*body)(void*), void* argument) {
  std::byte* top = stack.data() + stack.size();
  int result;
  asm volatile(
      "movq %%rsp, %%rbx\n\t"  // kept over the call
      "movq %[top], %%rsp\n\t"
      "call *%[body]\n\t"
      "movq %%rbx, %%rsp\n\t"
      : "=a"(result), "+D"(argument), [top] "+r"(top), [body] "+r"(body)
      :
      : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
        "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  return result;
}

}  // namespace unfreed::arch
