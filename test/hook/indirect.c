/* A library whose eventfd is an indirect function (IFUNC), and whose resolver calls what is hooked. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../support/raw_call.h"

static int by_system_call(unsigned count, int flags) { return (int)raw_call(SYS_eventfd2, (long)count, flags, 0, 0); }

__attribute__((used)) static int (*choose(void))(unsigned, int) {
  int fd = open("/dev/null", O_RDONLY);
  void* block = malloc(10);
  free(block);
  return fd >= 0 && block && close(fd) == 0 ? by_system_call : NULL;
}

int eventfd(unsigned count, int flags) __attribute__((ifunc("choose")));
