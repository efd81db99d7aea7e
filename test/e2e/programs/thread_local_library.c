// A library with a thread-local variable, which keeps a block. How it is reached is the compiler's choice of option.
#include <stdlib.h>

__thread char before[100];
__thread void* kept_by_library;

void use(size_t bytes) {
  before[0] = 1;
  kept_by_library = malloc(bytes);
}
