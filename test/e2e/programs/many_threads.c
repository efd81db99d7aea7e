// For each line of its input: that many threads, one after another, which allocate and free; then a line of output.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void* work(void* unused) {
  for (int i = 0; i < 10; ++i) free(malloc(100 + (size_t)i));
  return unused;
}

int main(void) {
  int count;
  while (scanf("%d", &count) == 1) {
    for (int i = 0; i < count; ++i) {
      pthread_t thread;
      if (pthread_create(&thread, NULL, work, NULL) || pthread_join(thread, NULL)) return 1;
    }
    puts("done");
    fflush(stdout);
  }
  return 0;
}
