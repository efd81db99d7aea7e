/* Holds blocks of several sizes, gives back as many, and lets threads of its own do the same; says what it holds. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kRounds = 40000 };
static const size_t sizes[] = {16, 40, 200, 3000};
static void* held[4][4 * kRounds / 2];
static void* gone[4][4 * kRounds / 2];

static __attribute__((noinline)) void* hold_small(size_t bytes) { return malloc(bytes); }
static __attribute__((noinline)) void* hold_large(size_t bytes) { return calloc(1, bytes); }

static void* work(void* argument) {
  size_t number = (size_t)argument;
  for (int i = 0; i < kRounds; i++) {
    size_t bytes = sizes[i % 4];
    void* block = bytes < 1000 ? hold_small(bytes) : hold_large(bytes);
    if (i % 8 < 4)
      held[number][i] = block;
    else
      gone[number][i] = realloc(block, bytes * 2);
  }
  for (int i = 0; i < kRounds; i++) free(gone[number][i]);
  return NULL;
}

int main(void) {
  pthread_t threads[3];
  for (size_t i = 0; i < 3; i++) pthread_create(&threads[i], NULL, work, (void*)(i + 1));
  work((void*)0);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  size_t blocks = 4 * (kRounds / 2), bytes = 0;
  for (int i = 0; i < kRounds; i++)
    if (i % 8 < 4) bytes += 4 * sizes[i % 4];
  printf("%zu %zu\n", blocks, bytes);
  return fopen("/dev/null", "r") == NULL;
}
