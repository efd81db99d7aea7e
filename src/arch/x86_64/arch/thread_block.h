// What glibc keeps of a thread where its thread pointer leads (struct pthread, nptl/descr.h): x86-64.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace unfreed::arch {

/// As much of it as find_thread() reads.
inline constexpr uintptr_t kThreadBlockBytes = 1024;

/// False where the memory does not look like a thread's. `tid`: its number; 0 or less for one that has ended (the
/// kernel clears it, and a join sets it to -1; libc keeps the stack for another thread). `thread`: a pthread_t that can
/// be read.
inline bool find_thread(uintptr_t thread, int& tid) {
  // Unchanged from glibc 2.3.4 to 2.42: tcbhead_t with two pointers to itself, then the lists, then the number.
  constexpr uintptr_t kSelf = 0x10, kNumber = 0x2d0;
  bool is_thread = *reinterpret_cast<const uintptr_t*>(thread) == thread &&
                   *reinterpret_cast<const uintptr_t*>(thread + kSelf) == thread;
  if (is_thread) tid = *reinterpret_cast<const pid_t*>(thread + kNumber);
  return is_thread;
}

/// Where it has blocks of thread-local variables (tcbhead_t's dtv); 0: not known.
inline uintptr_t thread_local_vector(uintptr_t thread) { return reinterpret_cast<const uintptr_t*>(thread)[1]; }

}  // namespace unfreed::arch
