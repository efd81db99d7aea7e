// The public API, with and without the preload. Prints what each call says, one word per line.
#include <unfreed/unfreed.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "alone.h"

static int take(void) {
  return open("/etc/passwd", O_RDONLY);  // @take
}
static void* make(size_t bytes) {
  return malloc(bytes);  // @make
}
static void* work(void* argument) { return argument; }

int main(int argc, char** argv) {
  errno = 77;
  printf("active %d\n", unfreed_is_active());
  int before = take();
  unfreed_mark_t mark = unfreed_mark();
  printf("mark %d\n", mark != 0);
  printf("fd %d\n", (int)unfreed_live_since(mark, UNFREED_FD));
  int fds[3] = {take(), take(), take()};
  void* blocks[2] = {make(100), make(200)};
  printf("fd %d\n", (int)unfreed_live_since(mark, UNFREED_FD));
  printf("heap_grew %d\n", unfreed_live_since(mark, UNFREED_HEAP) >= 2);
  close(before);  // older than the mark: changes nothing
  close(fds[0]);
  printf("fd %d\n", (int)unfreed_live_since(mark, UNFREED_FD));
  printf("ignore_fd %d\n", unfreed_ignore_fd(fds[1]));
  printf("ignore_fd_closed %d\n", unfreed_ignore_fd(fds[0]));
  printf("ignore_block %d\n", unfreed_ignore_block(blocks[0]));
  printf("fd %d\n", (int)unfreed_live_since(mark, UNFREED_FD));

  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, work, NULL);
  wait_until_alone();
  printf("thread %d\n", (int)unfreed_live_since(mark, UNFREED_THREAD));
  printf("ignore_thread %d\n", unfreed_ignore_thread(threads[0]));
  printf("thread %d\n", (int)unfreed_live_since(mark, UNFREED_THREAD));
  pthread_join(threads[1], NULL);

  unfreed_pause();
  int paused = take();
  unfreed_resume();
  printf("fd %d\n", (int)unfreed_live_since(mark, UNFREED_FD));

  printf("report %d\n", unfreed_report(argc > 1 ? argv[1] : NULL));
  printf("bad_path %d\n", unfreed_report("/nonexistent/folder/report.json") != 0);
  printf("bad_mark %d\n", (int)unfreed_live_since(0, UNFREED_FD));
  printf("errno %d\n", errno == 77);
  return paused < 0;
}
