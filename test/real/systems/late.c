/* A program without threads that opens a plugin with threads. Before glibc 2.34 libpthread comes with the plugin, and until
   then the process has no pthread_create. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

extern __typeof(pthread_create) pthread_create __attribute__((weak));

int main(int count, char** arguments) {
  printf("reference %s, dlsym %s\n", pthread_create ? "found" : "not found",
         dlsym(RTLD_DEFAULT, "pthread_create") ? "found" : "not found");
  fflush(stdout);
  void* plugin = count > 1 ? dlopen(arguments[1], RTLD_NOW) : NULL;
  if (!plugin) return 1;
  int (*start)(void) = (int (*)(void))dlsym(plugin, "start");
  return start ? start() : 2;
}
