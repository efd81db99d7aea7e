// Runs out of descriptors. exhaust ROUND…: "again" fails anew with everything still held, "spare" after one in five has
// been given back, "sleep" lets the time between two reports pass, "everywhere" fails at 512 stacks, "clean" gives all
// back; exhaust few N: opens N files and closes them, and nothing fails.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void take_all(void) {
  for (int i = 0; i < 1000; ++i) {
    int fd = open("/dev/null", O_RDONLY);  // @open
    if (fd < 0 && errno != EMFILE) printf("errno is %d\n", errno);
  }
}

// Two calls on each level, so that paths differ.
__attribute__((noinline)) static int fail_by(unsigned path, int levels) {
  int fd;
  if (levels == 0)
    fd = open("/dev/null", O_RDONLY);
  else if (path & 1)
    fd = fail_by(path >> 1, levels - 1);
  else
    fd = fail_by(path >> 1, levels - 1);
  __asm__ volatile("" : "+r"(fd));
  return fd;
}

static void* stands(void* unused) {
  pause();
  return unused;
}

int main(int count, char** rounds) {
  struct rlimit limit = {64, 64};
  if (count > 1 && !strcmp(rounds[1], "thread")) {
    pthread_t thread;
    limit.rlim_max = 256;
    pthread_create(&thread, NULL, stands, NULL);
    usleep(100000);
  }
  if (count > 2 && !strcmp(rounds[1], "few")) {
    for (int i = 0; i < atoi(rounds[2]); ++i) open("/dev/null", O_RDONLY);
    closefrom(3);
    return 0;
  }
  setrlimit(RLIMIT_NOFILE, &limit);
  take_all();
  for (int i = 1; i < count; ++i) {
    if (!strcmp(rounds[i], "spare"))
      for (int fd = 10; fd < 60; fd += 4) close(fd);
    if (!strcmp(rounds[i], "everywhere"))
      for (unsigned path = 0; path < 512; ++path) fail_by(path, 9);
    else if (!strcmp(rounds[i], "sleep"))
      sleep(11);
    else if (!strcmp(rounds[i], "clean"))
      for (int fd = 3; fd < 64; ++fd) close(fd);
    else
      take_all();
  }
  puts("done");
  return 0;
}
