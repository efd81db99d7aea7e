// Runs out of descriptors. exhaust ROUND…: "again" fails anew with everything still held, "spare" after one in five has
// been given back, "sleep" lets the time between two reports pass.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void take_all(void) {
  for (int i = 0; i < 1000; ++i) {
    int fd = open("/dev/null", O_RDONLY);  // @open
    if (fd < 0 && errno != EMFILE) printf("errno is %d\n", errno);
  }
}

static void* stands(void* unused) {
  pause();
  return unused;
}

int main(int count, char** rounds) {
  struct rlimit limit = {64, 64};
  if (count > 1 && !strcmp(rounds[1], "thread")) {
    pthread_t thread;
    pthread_create(&thread, NULL, stands, NULL);
    usleep(100000);
  }
  setrlimit(RLIMIT_NOFILE, &limit);
  take_all();
  for (int i = 1; i < count; ++i) {
    if (!strcmp(rounds[i], "spare"))
      for (int fd = 10; fd < 60; fd += 4) close(fd);
    if (!strcmp(rounds[i], "sleep"))
      sleep(11);
    else
      take_all();
  }
  puts("done");
  return 0;
}
