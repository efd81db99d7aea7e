// A thread that still runs at exit is listed, but is no leak: it does not count.
//! leak: kind=thread live=0 running=1 by=pthread_create function=main line=@create
//! clean:
#include <pthread.h>

#include "planted.h"

static void* sleep_on(void* argument) {
  while (!argument) pause();
  return NULL;
}
static void* work(void* argument) { return argument; }

int main(int argc, char** argv) {
  pthread_t thread;
  if (leaking(argc, argv)) return pthread_create(&thread, NULL, sleep_on, NULL);  // @create
  pthread_create(&thread, NULL, work, NULL);
  pthread_join(thread, NULL);
  return 0;
}
