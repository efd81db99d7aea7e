// Starts of threads and children that fail, and one of each that does not.
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

extern char** environ;

static void* work(void* argument) { return argument; }
static int work_too(void* unused) { return unused != NULL; }

static void expect(const char* what, int error, int expected) {
  if (error != expected) printf("%s gives %d\n", what, error);
}

int main(void) {
  pthread_t thread;
  thrd_t other;
  char name[] = "false";
  char* arguments[] = {name, NULL};
  pid_t child;
  // One of each.
  pthread_create(&thread, NULL, work, NULL);
  pthread_join(thread, NULL);
  if (posix_spawnp(&child, "false", NULL, NULL, arguments, environ) == 0) waitpid(child, NULL, 0);
  // A stack for which there is no room.
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, (size_t)1 << 46);
  for (int i = 0; i < 3; i++) expect("pthread_create", pthread_create(&thread, &attributes, work, NULL), EAGAIN);
  // A program that is not there.
  expect("posix_spawn", posix_spawn(&child, "/nonexistent", NULL, NULL, arguments, environ), ENOENT);
  expect("posix_spawnp", posix_spawnp(&child, "nonexistent", NULL, NULL, arguments, environ), ENOENT);
  // No more processes: that concerns ordinary users.
  struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_NPROC, &none) || (geteuid() == 0 && (setgid(65534) || setuid(65534)))) puts("still root");
  for (int i = 0; i < 3; i++) expect("pthread_create", pthread_create(&thread, NULL, work, NULL), EAGAIN);
  expect("thrd_create", thrd_create(&other, work_too, NULL), thrd_error);
  expect("posix_spawn", posix_spawnp(&child, "false", NULL, NULL, arguments, environ), EAGAIN);
  if (fork() != -1) puts("fork goes");
  child = vfork();
  if (child == 0) _exit(0);
  if (child != -1) puts("vfork goes");
  FILE* stream = popen("true", "r");
  if (stream) puts("popen goes");
  puts("end");
  return 0;
}
