/* Stands for a C library that has functions which this machine's lacks. Preloaded behind unfreed, as libc is. Like
   libc's own, these functions call nothing that is hooked. */
#include <dlfcn.h>
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>

#include "../support/raw_call.h"
#include "base/later_headers.h"

static long kernel(long number, long a, long b, long c, long d) {
  long result = raw_call(number, a, b, c, d);
  if (result < 0) {
    errno = (int)-result;
    return -1;
  }
  return result;
}

int openat2(int directory, const char* path, const void* how, size_t bytes) {
  return (int)kernel(SYS_openat2, directory, (long)path, (long)how, (long)bytes);
}

/* libc's function; `function` is the address of a pointer to one. */
static void find(const char* name, void* function) {
  void* found = dlsym(RTLD_NEXT, name);
  memcpy(function, &found, sizeof found);
}

static int spawn(const char* with, int* pidfd, const char* file, const posix_spawn_file_actions_t* actions,
                 const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  int (*function)(pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*, char* const*,
                  char* const*);
  pid_t pid;
  find(with, &function);
  int error = function(&pid, file, actions, attributes, arguments, environment);
  if (!error) *pidfd = (int)kernel(SYS_pidfd_open, pid, 0, 0, 0);
  return error;
}
int pidfd_spawn(int* pidfd, const char* path, const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  return spawn("posix_spawn", pidfd, path, actions, attributes, arguments, environment);
}
int pidfd_spawnp(int* pidfd, const char* file, const posix_spawn_file_actions_t* actions,
                 const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  return spawn("posix_spawnp", pidfd, file, actions, attributes, arguments, environment);
}

void free_sized(void* block, size_t bytes) {
  (void)bytes;
  void (*function)(void*);
  find("free", &function);
  function(block);
}
void free_aligned_sized(void* block, size_t alignment, size_t bytes) {
  (void)alignment;
  free_sized(block, bytes);
}
