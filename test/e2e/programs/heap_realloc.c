// A block that grows belongs to the line that grew it, with its last size; a realloc that fails changes nothing.
//! leak: kind=heap live=1 bytes=5000 by=realloc function=grow line=@grow
//! leak: kind=heap live=1 bytes=64 by=malloc function=main line=@kept
//! clean:
#include <stdint.h>
#include <stdlib.h>

#include "planted.h"

static void* grow(void* block, size_t bytes) {
  return realloc(block, bytes);  // @grow
}

int main(int argc, char** argv) {
  void* grown = malloc(10);
  for (size_t bytes = 1000; bytes <= 5000; bytes += 1000) grown = grow(grown, bytes);
  void* kept = malloc(64);  // @kept
  volatile size_t absurd = SIZE_MAX / 2;
  void* impossible = realloc(kept, absurd);
  if (impossible) return 1;
  if (leaking(argc, argv)) return 0;
  free(grown);
  free(kept);
  return 0;
}
