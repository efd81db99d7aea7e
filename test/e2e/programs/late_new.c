/* A C program that opens a C++ library while it runs, so that libstdc++ comes late. */
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char** arguments) {
  void* library = count > 1 ? dlopen(arguments[1], RTLD_NOW) : NULL;
  void (*take)(void);
  *(void**)&take = library ? dlsym(library, "take") : NULL;
  if (!take) return puts(dlerror()), 1;
  take();
  return 0;
}
