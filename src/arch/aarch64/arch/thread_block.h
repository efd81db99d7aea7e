// What glibc keeps of a thread (struct pthread, nptl/descr.h): AArch64, where that lies just below the thread pointer.
#pragma once

#include <pthread.h>
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
  // Unchanged from glibc 2.17 to 2.42: 24 words, two of a list, the number. There is no pointer to itself, but one to
  // the first values of keys (pthread_key_create), which lie right in front of that pointer.
  constexpr uintptr_t kNumber = 26 * 8, kKeyBytes = 32 * 16;
  for (uintptr_t at = kNumber + kKeyBytes; at + sizeof(uintptr_t) <= kThreadBlockBytes; at += sizeof(uintptr_t)) {
    if (*reinterpret_cast<const uintptr_t*>(thread + at) != thread + at - kKeyBytes) continue;
    tid = *reinterpret_cast<const pid_t*>(thread + kNumber);
    return true;
  }
  return false;
}

/// How far it reaches: to the thread pointer, in each thread. Which differs with the release of glibc.
inline uintptr_t thread_block_bytes() {
  return reinterpret_cast<uintptr_t>(__builtin_thread_pointer()) - static_cast<uintptr_t>(pthread_self());
}

/// Behind the thread pointer there are two words of the loader's, and then the variables. `bytes`: how many at most.
inline constexpr uintptr_t kLoaderBytes = 2 * sizeof(uintptr_t);
inline uintptr_t thread_memory_low(uintptr_t thread, uintptr_t) { return thread; }
inline uintptr_t thread_memory_high(uintptr_t thread, uintptr_t, uintptr_t bytes) {
  return thread + thread_block_bytes() + kLoaderBytes + bytes;
}

/// How far behind the pthread_t an object's variables begin. `offset`: as the loader counts it (l_tls_offset).
inline intptr_t thread_local_place(intptr_t offset) { return static_cast<intptr_t>(thread_block_bytes()) + offset; }
/// That offset for the executable's, if it needs no other alignment.
inline intptr_t executable_offset(size_t) { return static_cast<intptr_t>(kLoaderBytes); }

/// Where it has blocks of thread-local variables (tcbhead_t's dtv); 0: not known.
inline uintptr_t thread_local_vector(uintptr_t thread) {
  return *reinterpret_cast<const uintptr_t*>(thread + thread_block_bytes());
}

}  // namespace unfreed::arch
