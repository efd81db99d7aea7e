// What happens while a library is being unloaded: unloading LIBRARY WAY.
//   fork        another thread forks
//   fork_inside its own destructor does
//   exit_inside its own destructor ends the process
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) static void take(void) {
  for (int i = 0; i < 2; i++) (void)!open("/dev/null", O_RDONLY);  // @take
}

static void* stuck(void* unused) {
  for (;;) pause();  // @stuck
  return unused;
}

static void start_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, stuck, NULL);
  usleep(100000);
}

static void be_slow(void) { usleep(400000); }

static void be_child(void) {
  start_thread();
  take();
  exit(0);
}
static void fork_inside(void) {
  if (fork() == 0) be_child();
  wait(NULL);
}

static void* unload(void* library) {
  dlclose(library);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const char* way = argv[2];
  void* library = dlopen(argv[1], RTLD_NOW);
  void (**at_unloading)(void) = library ? dlsym(library, "at_unloading") : NULL;
  if (!at_unloading) return 2;
  if (!strcmp(way, "fork")) {
    *at_unloading = be_slow;
    pthread_t thread;
    pthread_create(&thread, NULL, unload, library);
    usleep(100000);
    if (fork() == 0) be_child();
    wait(NULL);
    pthread_join(thread, NULL);
  } else {
    *at_unloading = strcmp(way, "fork_inside") ? be_child : fork_inside;
    dlclose(library);
  }
  return 0;
}
