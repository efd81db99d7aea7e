// Who holds what was acquired after a mark: prints each call site as unfreed_live_since_each() and
// unfreed_lost_since_each() show it. Its own descriptors are the same before and after each question.
#include <unfreed/unfreed.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alone.h"

static int open_one(const char* path) {
  return open(path, O_RDONLY);  // @open_one
}
static int accepted(void) { return open("/dev/zero", O_RDONLY); }
static void* lose(size_t bytes) {
  char* block = malloc(bytes);  // @lose
  block[0] = 1;
  return block;
}
static void* work(void* argument) { return argument; }
static void start(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, work, NULL);  // @start
}
// What main's frames have left on the stack leads to nothing any more.
static void forget(void) {
  volatile char room[4096];
  memset((char*)room, 0, sizeof room);
}
static void lose_some(void) {
  for (int i = 0; i < 3; i++) lose(100);
}

static int show(void* context, const struct unfreed_site* site) {
  printf("site %s %d %d %d '%s' '%s' %s:%u %s\n", (const char*)context, site->kind, (int)site->count, (int)site->bytes,
         site->acquired_by, site->target, strrchr(site->file, '/') ? strrchr(site->file, '/') + 1 : "", site->line,
         site->function);
  printf("%s", site->stack);
  return 0;
}
static int stop(void* context, const struct unfreed_site* site) {
  ++*(int*)context;
  return site->count != 0;
}

static void ask(const char* what, unfreed_mark_t mark, enum unfreed_kind kind) {
  errno = 77;
  int64_t answer = unfreed_live_since_each(mark, kind, show, (void*)what);
  printf("%s %d errno %d\n", what, (int)answer, errno);
}

int main(void) {
  int before = open_one("/etc/hosts");
  unfreed_mark_t mark = unfreed_mark();
  ask("nothing", mark, UNFREED_FD);
  int fds[3];
  for (int i = 0; i < 3; i++) fds[i] = open_one(i ? "/dev/null" : "/etc/passwd");  // @main
  accepted();
  close(before);
  close(fds[0]);
  ask("fd", mark, UNFREED_FD);
  start();
  wait_until_alone();
  ask("thread", mark, UNFREED_THREAD);
  lose_some();
  forget();
  errno = 77;
  int64_t lost = unfreed_lost_since_each(mark, show, "lost");
  printf("lost %d errno %d\n", (int)lost, errno);
  ask("after", unfreed_mark(), UNFREED_FD);
  int visits = 0;
  open_one("/dev/null");  // @another
  unfreed_live_since_each(mark, UNFREED_FD, stop, &visits);
  printf("visits %d\n", visits);
  ask("bad", 0, UNFREED_FD);
  int next = dup(0);
  printf("next %d\n", next == fds[2] + 3 || next == fds[0]);
  return 0;
}
