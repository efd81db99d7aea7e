// What libc keeps of a thread where its thread pointer leads (struct pthread): x86-64.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace unfreed::arch {

/// As much of it as find_thread() reads.
inline constexpr uintptr_t kThreadBlockBytes = 1024;

/// False where the memory does not look like a thread's. `tid`: its number; 0 or less for one that has ended (the
/// kernel clears it, and a join sets it to -1; libc keeps the stack for another thread). `thread`: a pthread_t that can
/// be read.
inline bool find_thread(uintptr_t thread, int& tid) {
#ifdef __GLIBC__
  // nptl/descr.h, unchanged from glibc 2.3.4 to 2.42: tcbhead_t with two pointers to itself, then the lists, then the
  // number.
  constexpr uintptr_t kSelf = 0x10, kNumber = 0x2d0;
#else
  // src/internal/pthread_impl.h, since musl 1.2.0: a pointer to itself, the vector, two pointers to neighbours in a
  // ring of threads, two words, the number.
  constexpr uintptr_t kSelf = 0, kNumber = 0x30;
#endif
  bool is_thread = *reinterpret_cast<const uintptr_t*>(thread) == thread &&
                   *reinterpret_cast<const uintptr_t*>(thread + kSelf) == thread;
  if (is_thread) tid = *reinterpret_cast<const pid_t*>(thread + kNumber);
  return is_thread;
}

/// Variables lie in front of the thread pointer, which is the pthread_t. `bytes`: how many at most; `kept`: how much
/// libc keeps behind it.
inline uintptr_t thread_memory_low(uintptr_t thread, uintptr_t bytes) { return thread - bytes; }
inline uintptr_t thread_memory_high(uintptr_t thread, uintptr_t kept, uintptr_t) { return thread + kept; }

/// How far behind the pthread_t an object's variables begin. `offset`: as the loader counts it (l_tls_offset).
inline intptr_t thread_local_place(intptr_t offset) { return -offset; }
/// That offset for the executable's: right in front of the thread pointer.
inline intptr_t executable_offset(size_t bytes) { return static_cast<intptr_t>(bytes); }

/// Where it has blocks of thread-local variables (tcbhead_t's dtv); 0: not known.
inline uintptr_t thread_local_vector(uintptr_t thread) { return reinterpret_cast<const uintptr_t*>(thread)[1]; }

}  // namespace unfreed::arch
