// Blocks from malloc, of two sizes and two callers; sizes are those asked for.
//! leak: kind=heap live=10 bytes=1000 total=10 by=malloc function=take line=@take
//! leak: kind=heap live=1 bytes=7 by=malloc function=main line=@main
//! clean:
#include <stdlib.h>

#include "planted.h"

static char* take(size_t bytes) {
  return malloc(bytes);  // @take
}

int main(int argc, char** argv) {
  char* blocks[10];
  for (int i = 0; i < 10; i++) blocks[i] = take(100);
  char* lone = malloc(7);  // @main
  if (leaking(argc, argv)) return lone == blocks[0];
  for (int i = 0; i < 10; i++) free(blocks[i]);
  free(lone);
  return 0;
}
