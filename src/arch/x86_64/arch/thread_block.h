// What glibc keeps of a thread where its thread pointer leads (struct pthread, nptl/descr.h): x86-64.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace unfreed::arch {

/// As much of it as is_thread_over() reads.
inline constexpr uintptr_t kThreadBlockBytes = 1024;

/// Has the thread of this pthread_t ended? The kernel clears its number then, and libc sets it to -1 when it is joined;
/// libc keeps its stack for another one.
/// False where the memory does not look like a thread's. `thread` can be read.
inline bool is_thread_over(uintptr_t thread) {
  // Unchanged from glibc 2.3.4 to 2.42: tcbhead_t with two pointers to itself, then the lists, then the number.
  constexpr uintptr_t kSelf = 0x10, kNumber = 0x2d0;
  bool is_thread = *reinterpret_cast<const uintptr_t*>(thread) == thread &&
                   *reinterpret_cast<const uintptr_t*>(thread + kSelf) == thread;
  return is_thread && *reinterpret_cast<const pid_t*>(thread + kNumber) <= 0;
}

}  // namespace unfreed::arch
