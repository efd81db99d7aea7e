// What the tests of all three frameworks do: some leave something behind, some do not.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <thread>

namespace steps {

inline void leave_descriptors() {
  for (int i = 0; i < 2; ++i) open("/etc/hosts", O_RDONLY);  // @leave_descriptors
}
inline void close_descriptor() { close(open("/etc/hosts", O_RDONLY)); }

inline char* make_block(size_t bytes) {
  auto* block = new char[bytes];  // @make_block
  std::memset(block, 1, bytes);
  return block;
}
[[gnu::noinline]] inline void lose_block() { make_block(300); }
/// What earlier calls have left on the stack leads to nothing any more.
[[gnu::noinline]] inline void clear_stack() {
  volatile char room[4096];
  for (volatile char& one : room) one = 0;
}
/// Kept for the tests to come: no leak.
inline void fill_cache() {
  static char* cache;
  if (!cache) cache = make_block(1000);
}

inline void* end_at_once(void* argument) { return argument; }
inline void leave_thread() {
  pthread_t thread;
  pthread_create(&thread, nullptr, end_at_once, nullptr);  // @leave_thread
}
inline void leave_child() {
  if (fork() == 0) _exit(0);  // @leave_child
}

}  // namespace steps
