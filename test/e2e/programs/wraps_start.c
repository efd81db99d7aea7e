// A library that is preloaded beside the runtime, and wraps the function of libc's that calls main (as libraries do
// that run before a program).
#include <dlfcn.h>

typedef int (*Start)(int (*)(int, char**, char**), int, char**, void (*)(void), void (*)(void), void (*)(void), void*);

int __libc_start_main(int (*run)(int, char**, char**), int count, char** arguments, void (*begin)(void),
                      void (*end)(void), void (*unload)(void), void* stack) {
  Start real;
  *(void**)&real = dlsym(RTLD_NEXT, "__libc_start_main");
  return real(run, count, arguments, begin, end, unload, stack);
}
