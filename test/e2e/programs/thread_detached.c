// Detached threads clean up after themselves, whether detached from outside, by themselves or by their attributes. The
// one that leaks ends through pthread_exit.
//! leak: kind=thread live=1 by=pthread_create function=main line=@create
//! clean:
#include <pthread.h>

#include "alone.h"
#include "planted.h"

static void* work(void* argument) { return argument; }
static void* detach_itself(void* argument) {
  pthread_detach(pthread_self());
  return argument;
}
static void* leave_early(void* argument) { pthread_exit(argument); }

int main(int argc, char** argv) {
  pthread_t outside, itself, attributes, left;
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  pthread_create(&outside, NULL, work, NULL);
  pthread_detach(outside);
  pthread_create(&itself, NULL, detach_itself, NULL);
  pthread_create(&attributes, &detached, work, NULL);
  pthread_attr_destroy(&detached);
  pthread_create(&left, NULL, leave_early, NULL);  // @create
  wait_until_alone();
  if (!leaking(argc, argv)) pthread_join(left, NULL);
  return 0;
}
