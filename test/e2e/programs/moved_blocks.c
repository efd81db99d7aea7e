// Tables that alone lead to blocks are moved by realloc, over and over, while the program asks what it has lost:
// moved_blocks TIMES [handler]
// With "handler", a signal's handler asks, while the thread that it interrupts moves a table.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unfreed/unfreed.h>

enum { kThreads = 3, kEntries = 200 };

static void** tables[kThreads];
static void* behind[kThreads];  // so that a table cannot grow where it is
static atomic_bool is_over;
static uint64_t start;
static volatile long asked, lost;

static void make_table(size_t at) {
  tables[at] = malloc(kEntries * sizeof(void*));
  for (int i = 0; i < kEntries; ++i) tables[at][i] = malloc(24);
}

static void move_table(size_t at) {
  static const size_t sizes[] = {1 << 12, 1 << 16, 3 << 15, 3 << 12, 3 << 15};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
    void** moved = realloc(tables[at], sizes[i]);
    if (!moved) abort();
    tables[at] = moved;
    free(behind[at]);
    behind[at] = calloc(1, 3000);
  }
}

static void* move_until_over(void* at) {
  while (!is_over) move_table((size_t)at);
  return NULL;
}

static void ask(void) {
  int64_t found = unfreed_lost_since(start);
  if (found < 0) return;  // no answer, where threads cannot be stopped in time
  lost += found;
  ++asked;
}

static void ask_soon(void) {
  struct itimerval soon = {.it_value = {.tv_usec = 100 + asked * 37 % 500}};
  setitimer(ITIMER_REAL, &soon, NULL);
}
static void ask_in_handler(int signal) {
  (void)signal;
  ask();
  ask_soon();
}

int main(int count, char** arguments) {
  long times = count > 1 ? atol(arguments[1]) : 0;
  start = unfreed_mark();
  for (size_t at = 0; at < kThreads; ++at) make_table(at);
  if (count > 2 && strcmp(arguments[2], "handler") == 0) {
    struct sigaction action = {.sa_handler = ask_in_handler};
    sigaction(SIGALRM, &action, NULL);
    ask_soon();
    while (asked < times) move_table(0);
  } else {
    pthread_t threads[kThreads];
    for (size_t at = 0; at < kThreads; ++at) pthread_create(&threads[at], NULL, move_until_over, (void*)at);
    while (asked < times) ask();
    is_over = true;
    for (size_t at = 0; at < kThreads; ++at) pthread_join(threads[at], NULL);
  }
  printf("%ld lost\n", lost);
  return 0;
}
