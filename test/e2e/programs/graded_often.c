// Asks over and over what it has lost, while a library's variable keeps a block: graded_often LIBRARY TIMES
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unfreed/unfreed.h>

int main(int count, char** arguments) {
  if (count < 3) return 1;
  void* library = dlopen(arguments[1], RTLD_NOW);
  void** variable = library ? dlsym(library, "kept_by_library") : NULL;
  if (!variable) return 1;
  *variable = malloc(100);  // @kept
  int64_t lost = 0;
  for (int i = atoi(arguments[2]); i > 0; --i) lost += unfreed_lost_since(unfreed_mark());
  printf("%ld\n", (long)lost);
  return 0;
}
