// Gives connections to epoll_ctl(2), which is all that leads to them, and asks what is lost. As soon as the threads go
// on, when the copy of the process that finds out has only begun, one of them closes and frees its connections. Prints
// what is said to be lost. Arguments: how many connections; "alone": without such a thread, and as somebody whose
// processes nobody else may look at, not even their copies.
#include <unfreed/unfreed.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { MOST = 4000, ROUNDS = 3 };
struct connection {
  int fd;
  char rest[60];
};
static int g_many, g_epoll;
static atomic_int g_waits, g_is_answered;
static int g_fds[MOST];

static void check(int worked) {
  if (!worked) abort();
}
static void connect_all(void) {
  for (int i = 0; i < g_many; i++) {
    struct connection* one = calloc(1, sizeof *one);
    g_fds[i] = one->fd = eventfd(1, 0);
    check(one->fd >= 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    check(epoll_ctl(g_epoll, EPOLL_CTL_ADD, one->fd, &event) == 0);
  }
}
static void close_all(void) {
  static struct epoll_event events[MOST];
  int count = epoll_wait(g_epoll, events, MOST, 0);
  check(count == g_many);
  for (int i = 0; i < count; i++) {
    struct connection* one = events[i].data.ptr;
    check(epoll_ctl(g_epoll, EPOLL_CTL_DEL, one->fd, NULL) == 0);
    close(one->fd);
    free(one);
  }
  memset(events, 0, sizeof events);
}

// A thread that is stopped waits in a handler, which leaves its traces on the alternate stack.
static void* close_when_stopped(void* argument) {
  static unsigned char stack[1 << 18];
  memset(stack, 0, sizeof stack);
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  check(sigaltstack(&alternate, NULL) == 0);
  g_waits = 1;
  volatile unsigned char* high = stack + sizeof stack - 4096;
  for (int at = 0; !high[at] && !g_is_answered; at = (at + 1) % 4096) {
  }
  close_all();
  return argument;
}

// What earlier calls have left on the stack leads to nothing.
static void forget(void) {
  volatile char room[16384];
  memset((char*)room, 0, sizeof room);
}
// So that the copy has much to do before it comes to what the kernel keeps.
static void fill(void) {
  static void* last;
  for (int i = 0; i < 200000; i++) {
    void** one = malloc(40);
    *one = last;
    last = one;
  }
}

int main(int argc, char** argv) {
  check(argc > 1);
  g_many = atoi(argv[1]);
  bool is_alone = argc > 2 && strcmp(argv[2], "alone") == 0;
  if (is_alone) check(geteuid() == 0 ? setresuid(65534, 65534, 65534) == 0 : prctl(PR_SET_DUMPABLE, 0) == 0);
  fill();
  g_epoll = epoll_create1(0);
  unfreed_mark_t mark = unfreed_mark();
  for (int round = 0; round < ROUNDS; round++) {
    connect_all();
    g_waits = g_is_answered = 0;
    pthread_t thread;
    if (!is_alone) check(pthread_create(&thread, NULL, close_when_stopped, NULL) == 0);
    while (!g_waits && !is_alone) {
    }
    forget();
    printf("%d\n", (int)unfreed_lost_since(mark));
    g_is_answered = 1;
    if (is_alone)
      close_all();
    else
      pthread_join(thread, NULL);
  }
  return 0;
}
