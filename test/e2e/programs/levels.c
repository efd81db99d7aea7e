// Takes resources, gives all of them back, and takes them again. levels KIND NUMBER…: so many descriptors, timers or
// threads' blocks of 1,000 bytes, for each number in turn.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST 200000
static int fds[MOST];
static timer_t timers[MOST];
static void* blocks[MOST];

static void take_fd(int i) {
  fds[i] = open("/dev/null", O_RDONLY);  // @fd
}
static void take_timer(int i) {
  struct sigevent none = {.sigev_notify = SIGEV_NONE};
  timer_create(CLOCK_MONOTONIC, &none, &timers[i]);  // @timer
}
static void take_block(int i) {
  blocks[i] = malloc(1000);  // @block
}
static void give_fd(int i) { close(fds[i]); }
static void give_timer(int i) { timer_delete(timers[i]); }
static void give_block(int i) { free(blocks[i]); }

int main(int count, char** words) {
  static const struct {
    const char* kind;
    void (*take)(int);
    void (*give)(int);
  } kKinds[] = {{"fd", take_fd, give_fd}, {"timer", take_timer, give_timer}, {"heap", take_block, give_block}};
  for (int word = 2; word < count; ++word)
    for (size_t at = 0; at < sizeof kKinds / sizeof *kKinds; ++at) {
      int number = atoi(words[word]);
      if (strcmp(kKinds[at].kind, words[1]) != 0 || number > MOST) continue;
      for (int i = 0; i < number; ++i) kKinds[at].take(i);
      for (int i = 0; i < number; ++i) kKinds[at].give(i);
    }
  puts("done");
  return 0;
}
