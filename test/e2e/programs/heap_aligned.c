// The aligned family.
//! leak: kind=heap live=1 bytes=100 by=posix_memalign function=main line=@posix
//! leak: kind=heap live=1 bytes=128 by=aligned_alloc function=main line=@aligned
//! leak: kind=heap live=1 bytes=300 by=memalign function=main line=@memalign
//! clean:
#include <malloc.h>
#include <stdlib.h>

#include "planted.h"

int main(int argc, char** argv) {
  void* posix = NULL;
  if (posix_memalign(&posix, 64, 100)) return 1;  // @posix
  void* aligned = aligned_alloc(64, 128);         // @aligned
  void* old = memalign(256, 300);                 // @memalign
  if ((size_t)posix % 64 || (size_t)aligned % 64 || (size_t)old % 256) return 2;
  if (leaking(argc, argv)) return 0;
  free(posix);
  free(aligned);
  free(old);
  return 0;
}
