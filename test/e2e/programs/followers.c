// Lost blocks that lead to others, which are allocated elsewhere.
#include <stdlib.h>
#include <string.h>

#define PART(name) \
  __attribute__((noinline)) static void* name(void) { return calloc(1, 40); }
PART(known_part)
PART(other_part)
PART(shared_part)
PART(kept_part)

static void* kept;

__attribute__((noinline)) static void lead(void** block, void* one, void* two) {
  block[0] = one;
  block[1] = two;
}
__attribute__((noinline)) static void known(void* one, void* two) { lead(malloc(24), one, two); }
__attribute__((noinline)) static void other(void* one, void* two) { lead(malloc(24), one, two); }
__attribute__((noinline)) static void forget(void) {
  volatile char stack[4096];
  memset((void*)stack, 0, sizeof stack);
}

__attribute__((noinline)) static void leak(void) {
  for (int i = 0; i < 2; ++i) {
    void* shared = shared_part();
    known(known_part(), shared);
    other(other_part(), shared);
    // Of this site, one block is in use.
    void* part = kept_part();
    if (i == 0)
      kept = part;
    else
      known(part, NULL);
  }
}

int main(void) {
  leak();
  forget();
  return kept == NULL;
}
