// A library that is in no hurry to be unloaded: its destructor does what its program asks for.
#include <unistd.h>

void (*at_unloading)(void);
void* kept_by_library;

__attribute__((destructor)) static void unload(void) {
  if (at_unloading) at_unloading();
}
