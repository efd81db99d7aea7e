// Maps terabytes, as sanitizers and garbage collectors do, and uses one page of them, which alone leads to a block.
// Prints "no room" where there is no such space.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(void) {
  size_t bytes = (size_t)32 << 40;
  char* vast = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (vast == MAP_FAILED) {
    puts("no room");
    return 0;
  }
  void** place = (void**)(vast + bytes / 4 * 3);
  *place = malloc(1234);
  puts("mapped");
  return 0;
}
