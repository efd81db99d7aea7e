// calloc counts the product of its arguments.
//! leak: kind=heap live=3 bytes=1200 by=calloc function=main line=@calloc
//! clean:
#include <stdlib.h>

#include "planted.h"

int main(int argc, char** argv) {
  void* blocks[3];
  for (int i = 0; i < 3; i++) blocks[i] = calloc(50, 8);  // @calloc
  if (leaking(argc, argv)) return blocks[0] == blocks[1];
  for (int i = 0; i < 3; i++) free(blocks[i]);
  return 0;
}
