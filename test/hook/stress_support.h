// What the stress programs share: a clock, random choices, the kernel's count of descriptors, and lines of output that
// are whole although several processes write them.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

inline double seconds_now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// xorshift; one per thread, so that no two depend on each other.
struct Random {
  uint64_t state;
  explicit Random(uint64_t seed) : state(seed * 0x9e3779b97f4a7c15u + 1) {}
  unsigned below(unsigned limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<unsigned>(state >> 33) % limit;
  }
};

/// Open descriptors by the kernel's count, without the one used for counting.
inline int open_descriptors() {
  DIR* folder = opendir("/proc/self/fd");
  int count = -1;
  while (dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

/// One write, so that lines of several processes do not mix.
[[gnu::format(printf, 1, 2)]] inline void say(const char* format, ...) {
  char line[256];
  va_list values;
  va_start(values, format);
  int size = vsnprintf(line, sizeof line, format, values);
  va_end(values);
  if (write(1, line, static_cast<size_t>(size)) != size) abort();
}

[[noreturn]] inline void fail(const char* what) {
  say("failed: %s\n", what);
  _exit(1);
}
