// many_sites PATHS BLOCKS: takes BLOCKS blocks at each of PATHS different stacks, says so on stdout and waits until stdin
// ends. Each stack is a way through two functions that call each other and themselves, one for each bit of its number.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void even(unsigned path, int bits, int blocks);
static void odd(unsigned path, int bits, int blocks);

static void go_on(unsigned path, int bits, int blocks) {
  if (bits == 0) {
    for (int i = 0; i < blocks; ++i) *(void* volatile*)malloc(16) = NULL;  // @take
    return;
  }
  if (path & 1)
    odd(path >> 1, bits - 1, blocks);
  else
    even(path >> 1, bits - 1, blocks);
}
static void even(unsigned path, int bits, int blocks) { go_on(path, bits, blocks); }
static void odd(unsigned path, int bits, int blocks) { go_on(path, bits, blocks); }

int main(int argc, char** argv) {
  unsigned paths = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
  int blocks = argc > 2 ? atoi(argv[2]) : 1;
  int bits = 1;
  while (1u << bits < paths) ++bits;
  for (unsigned path = 0; path < paths; ++path) go_on(path, bits, blocks);
  char byte = '.';
  if (write(1, &byte, 1) < 0) return 1;
  while (read(0, &byte, 1) > 0) {
  }
  return 0;
}
