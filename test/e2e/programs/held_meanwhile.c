// Loses blocks and asks again and again which call site has, while another thread asks the same about newer marks,
// since which nothing is lost. Prints each answer that is wrong, and "asked" if there was any answer. An answer that
// another one replaces before it is read is caught now and then only: nothing of the program's runs in between, and
// where a timer's handler does, to hold the reader up, the search itself never gets done.
#include <unfreed/unfreed.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int g_is_over;

static void* ask_too(void* argument) {
  while (!g_is_over) unfreed_lost_since(unfreed_mark());
  return argument;
}
static int add(void* context, const struct unfreed_site* site) {
  *(int64_t*)context += (int64_t)site->count;
  return 0;
}
static void lose_three(void) {
  for (int i = 0; i < 3; i++) *(volatile char*)malloc(300) = 1;
}
// What main's frames have left on the stack leads to nothing any more.
static void forget(void) {
  volatile char room[4096];
  memset((char*)room, 0, sizeof room);
}

int main(void) {
  unfreed_mark_t mark = unfreed_mark();
  lose_three();
  forget();
  pthread_t thread;
  pthread_create(&thread, NULL, ask_too, NULL);
  int answers = 0;
  for (int i = 0; i < 15; i++) {
    int64_t visited = 0, answer = unfreed_lost_since_each(mark, add, &visited);
    if (answer < 0) continue;  // a thread did not stop in time
    answers++;
    if (answer != 3 || visited != 3) printf("answer %d, visited %d\n", (int)answer, (int)visited);
  }
  g_is_over = 1;
  pthread_join(thread, NULL);
  if (answers) printf("asked\n");
  return 0;
}
