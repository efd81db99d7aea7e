// Other stacks than the thread's own, for children and for calls: AArch64.
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
  *--top = reinterpret_cast<uintptr_t>(argument);
  *--top = reinterpret_cast<uintptr_t>(body);
  register long number asm("x8") = SYS_clone;
  register long result asm("x0") = flags;
  register uintptr_t* sp asm("x1") = top;
  register std::atomic<pid_t>* parent_tid asm("x2") = pid;
  register long tls asm("x3") = 0;
  register long child_tid asm("x4") = 0;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, #0\n\t"
      "ldp x1, x0, [sp], #16\n\t"
      "blr x1\n\t"
      "mov x8, #93\n\t"  // SYS_exit
      "svc #0\n\t"
      "brk #0\n"
      "1:"
      : "+r"(result)
      : "r"(number), "r"(sp), "r"(parent_tid), "r"(tls), "r"(child_tid)
      : "memory", "cc");
  return result;
}

/// Calls body(argument) on another stack.
inline int call_on_stack(std::span<std::byte> stack, int (*body)(void*), void* argument) {
  std::byte* top = stack.data() + stack.size();
  register void* first asm("x0") = argument;
  asm volatile(
      "mov x19, sp\n\t"  // kept over the call
      "mov sp, %[top]\n\t"
      "blr %[body]\n\t"
      "mov sp, x19\n\t"
      : "+r"(first)
      : [top] "r"(top), [body] "r"(body)
      : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
        "x18", "x19", "x30", "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11",
        "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27",
        "v28", "v29", "v30", "v31");
  return static_cast<int>(reinterpret_cast<intptr_t>(first));
}

}  // namespace unfreed::arch
