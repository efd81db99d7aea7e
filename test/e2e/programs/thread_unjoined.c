// Threads that have finished and were neither joined nor detached.
//! leak: kind=thread live=3 by=pthread_create function=launch line=@create
//! clean:
#include <pthread.h>

#include "alone.h"
#include "planted.h"

static void* work(void* argument) { return argument; }

static pthread_t launch(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, work, NULL)) abort();  // @create
  return thread;
}

int main(int argc, char** argv) {
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) threads[i] = launch();
  wait_until_alone();
  if (leaking(argc, argv)) return 0;
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  return 0;
}
