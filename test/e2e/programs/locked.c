// Locks its memory, or limits it, and says what that came to, in megabytes.
//   locked current|future|both|onfault   mlockall(2), then a mapping of 8 MiB: status, how much is locked, how much is
//                                        resident
//   locked limit MEGABYTES               RLIMIT_AS: how much of that can then be mapped in pieces of 1 MiB
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static long kilobytes(const char* field) {
  char line[256];
  long value = -1;
  FILE* file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, field, strlen(field)) == 0) value = atol(line + strlen(field));
  if (file) fclose(file);
  return value;
}

static void* map(size_t bytes) { return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

static int lock(const char* how) {
  int flags = 0;
  if (strcmp(how, "current") == 0 || strcmp(how, "both") == 0) flags |= MCL_CURRENT;
  if (strcmp(how, "future") == 0 || strcmp(how, "both") == 0) flags |= MCL_FUTURE;
  if (strcmp(how, "onfault") == 0) flags |= MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;
  int status = mlockall(flags);
  int error = status ? errno : 0;
  // Whatever the runtime needs from now on: a stack that is new, a thread's tables, a region of the heap.
  for (int i = 0; i < 100; ++i) close(open("/dev/null", O_RDONLY)), free(malloc(100000));
  char* mapped = map(8 << 20);
  printf("%d %d %ld %ld %d\n", status, error, kilobytes("VmLck:") / 1024, kilobytes("VmRSS:") / 1024,
         mapped != MAP_FAILED);
  return 0;
}

static int limit(long megabytes) {
  struct rlimit limit;
  getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = (rlim_t)megabytes << 20;
  if (setrlimit(RLIMIT_AS, &limit)) return 1;
  for (int i = 0; i < 100; ++i) close(open("/dev/null", O_RDONLY)), free(malloc(1000));
  int pieces = 0;
  while (map(1 << 20) != MAP_FAILED) ++pieces;
  printf("%d\n", pieces);
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "limit") == 0) return limit(atol(argv[2]));
  return argc == 2 ? lock(argv[1]) : 64;
}
