/* Looks for every function that unfreed has a hook for, in each of the ways in which programs do, and says whether it is
   there. Built as a program, as a library that the program is linked with, and as one that it opens:

     probes MODULE   a line for each function and each of the three: "WHO NAME WAY…", the ways by which it is found */
#include <dlfcn.h>
#include <stdio.h>

#define HOOK(symbol, shown, family, presence) extern void weak_##symbol(void) __asm__(#symbol) __attribute__((weak));
#include "hook/hooks.inc"
#undef HOOK

struct Row {
  const char* name;
  void (*reference)(void);
};
/* References in data that is read only once it is relocated, and in data that is written to. */
static const struct Row kConstant[] = {
#define HOOK(symbol, shown, family, presence) {#symbol, weak_##symbol},
#include "hook/hooks.inc"
#undef HOOK
};
enum { kCount = sizeof kConstant / sizeof *kConstant };
static struct Row g_variable[] = {
#define HOOK(symbol, shown, family, presence) {#symbol, weak_##symbol},
#include "hook/hooks.inc"
#undef HOOK
};

/* Through the global offset table. */
static int in_code(int number) {
  int current = 0;
#define HOOK(symbol, shown, family, presence) \
  if (current++ == number) return weak_##symbol != 0;
#include "hook/hooks.inc"
#undef HOOK
  return 0;
}

__attribute__((visibility("default"))) void PROBE(const char* who) {
  void* program = dlopen(NULL, RTLD_NOW);
  for (int i = 0; i < kCount; ++i) {
    const volatile struct Row *constant = &kConstant[i], *variable = &g_variable[i];
    const char* name = kConstant[i].name;
    printf("%s %s", who, name);
    if (dlsym(RTLD_DEFAULT, name)) printf(" default");
    if (dlsym(RTLD_NEXT, name)) printf(" next");
    if (dlsym(program, name)) printf(" program");
    if (dlvsym(RTLD_DEFAULT, name, "GLIBC_2.39")) printf(" version");
    if (in_code(i)) printf(" code");
    if (constant->reference) printf(" constant");
    if (variable->reference) printf(" variable");
    puts("");
  }
}

#ifdef PROGRAM
extern void probe_of_library(const char* who);

int main(int count, char** arguments) {
  PROBE("program");
  probe_of_library("library");
  void* module = count > 1 ? dlopen(arguments[1], RTLD_LAZY) : NULL;
  void (*probe_of_module)(const char*);
  *(void**)&probe_of_module = module ? dlsym(module, "probe_of_library") : NULL;
  if (!probe_of_module) return 1;
  probe_of_module("module");
  return 0;
}
#endif
