/* See late.c. Starts 2 threads and joins them; they leave 2 blocks that nothing leads to. */
#include <pthread.h>
#include <stdlib.h>

static void* work(void* argument) {
  *(void* volatile*)argument = malloc(100);
  *(void* volatile*)argument = NULL;
  return NULL;
}

__attribute__((visibility("default"))) int start(void) {
  pthread_t thread[2];
  void* block[2];
  for (int i = 0; i < 2; i++)
    if (pthread_create(&thread[i], NULL, work, &block[i])) return 3;
  for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
  return 0;
}
