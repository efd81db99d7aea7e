// A bit of everything that the runtime has to do with, so that each of its system calls can be made to fail once:
// descriptors, blocks, a thread, a forked child, a program, a report while it runs.
//   faults keep    one descriptor is left, of the program's own
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unfreed/unfreed.h"

extern char** environ;

static void* work(void* file) {
  int copy = dup(*(int*)file);
  free(malloc(1 << 20));
  close(copy);
  return file;
}

static int end_of(pid_t child) {
  int status = -1;
  return waitpid(child, &status, 0) == child ? status : -1;
}

int main(int argc, char** argv) {
  int keeps = argc > 1 && !strcmp(argv[1], "keep");
  int first = dup(0);
  close(first);  // the runtime owns no descriptor: the next is always this one
  int file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
  printf("file %d", file - first);
  pthread_t thread;
  void* got = NULL;
  printf(", thread %d", pthread_create(&thread, NULL, work, &file));
  printf(" %d", pthread_join(thread, &got));
  printf(" %d", got == &file);
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    free(malloc(100));
    int other = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    printf(", child's file %d", other - first);
    fflush(stdout);
    close(other);
    _exit(3);
  }
  printf(", child %#x", end_of(child));
  char* arguments[] = {(char*)"sh", (char*)"-c", (char*)"exit 5", NULL};
  pid_t program = -1;
  int error = posix_spawn(&program, "/bin/sh", NULL, NULL, arguments, environ);
  printf(", program %d %#x", error, end_of(program));
  unfreed_report(NULL);
  FILE* stream = fopen("/etc/passwd", "re");
  printf(", stream %d", fileno(stream) - first);
  fclose(stream);
  void* library = dlopen("libm.so.6", RTLD_NOW);
  printf(", library %d", library && dlsym(library, "cos"));
  if (library) dlclose(library);
  errno = 0;
  int copy = dup(file);
  printf(", copy %d, errno %d", copy - first, errno);
  close(copy);
  if (!keeps) close(file);
  int stranger = wait(NULL);
  printf(", wait %d %d\n", stranger, errno == ECHILD);
  return 0;
}
