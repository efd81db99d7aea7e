/* A process that runs already, with threads that allocate and free all the time, and a thread that waits in
   epoll_wait() with a timeout. It says "ready", then does what each letter on its standard input asks for, and answers.
   At 'q' it ends with status 7, and says whether a call has failed. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int stop, failures, rounds, has_unshared;
static pid_t waiting_child;
static void* volatile kept[4096];
static int kept_count;

static void* work(void* number) {
  enum { kHeld = 64 };
  unsigned char* held[kHeld] = {0};
  unsigned random = (unsigned)(size_t)number + 1;
  while (!stop) {
    random = random * 1103515245 + 12345;
    unsigned at = random >> 16 & (kHeld - 1), size = 16 + (random >> 8) % 2000;
    if (held[at] && held[at][0] != (unsigned char)at) ++failures;
    free(held[at]);
    held[at] = random & 1 ? malloc(size) : calloc(1, size);
    if ((random & 0xf0) == 0) held[at] = realloc(held[at], 2 * size);
    held[at][0] = (unsigned char)at;
    atomic_fetch_add(&rounds, 1);
  }
  for (int at = 0; at < kHeld; ++at) free(held[at]);
  return NULL;
}

static void* wait_again(void* place) {
  int queue = *(int*)place;
  while (!stop) {
    struct epoll_event event;
    errno = 77;
    int found = epoll_wait(queue, &event, 1, 3);
    if (found != 0 || errno != 77) ++failures;
  }
  return NULL;
}

static void* end_at_once(void* unused) { return unused; }

static void leak_block(void) { kept[kept_count++ & 4095] = malloc(777); }  // @block
static int leak_descriptor(void) { return open("/dev/null", O_RDONLY); }   // @descriptor

static void start_thread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, end_at_once, NULL);  // @thread
}

static void fork_child(void) {
  pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 100; ++i) free(malloc(100));
    close(open("/dev/null", O_RDONLY));
    exit(3);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 3) ++failures;
}

static void start_program(void) {
  if (system("exit 5") >> 8 != 5) ++failures;
}

static void open_library(void) {
  void* library = dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL);
  void* (*make)(const char*, const char*) = NULL;
  if (library) *(void**)&make = dlsym(library, "gzopen");
  if (make) kept[kept_count++ & 4095] = make("/dev/null", "r");  // @library
}

/* A child that nobody waits for. */
static void leave_child(void) {
  if (fork() == 0) _exit(0);
}

/* A child of a child, which comes to this process when that one ends. */
static void leave_grandchild(void) {
  pid_t child = fork();
  if (child == 0) {
    leave_child();
    _exit(0);
  }
  if (waitpid(child, NULL, 0) != child) ++failures;
}

/* A child that waits for ever, and does nothing else. */
static void start_waiting_child(void) {
  waiting_child = fork();
  while (waiting_child == 0) pause();
}

static int waiting_child_is_ended_by(int signal) {
  int status = 0;
  return kill(waiting_child, signal) == 0 && waitpid(waiting_child, &status, 0) == waiting_child &&
         WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

static void* have_own_descriptors(void* unused) {
  if (unshare(CLONE_FILES) != 0 || open("/dev/zero", O_RDONLY) < 0) ++failures;
  has_unshared = 1;
  while (1) pause();
  return unused;
}

static void start_thread_with_own_descriptors(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, have_own_descriptors, NULL) != 0) ++failures;
  while (!has_unshared) usleep(1000);
}

int main(void) {
  enum { kWorkers = 3 };
  pthread_t threads[kWorkers + 1];
  for (size_t i = 0; i < kWorkers; ++i) pthread_create(&threads[i], NULL, work, (void*)i);
  int queue = epoll_create1(0);
  pthread_create(&threads[kWorkers], NULL, wait_again, &queue);
  void* before = malloc(100);
  int opened_before = open("/dev/null", O_RDONLY);
  puts("ready");
  fflush(stdout);
  char letter;
  while (read(0, &letter, 1) == 1 && letter != 'q') {
    if (letter == '\n') continue;
    int was = rounds;
    if (letter == 'm') leak_block();
    if (letter == 'o') leak_descriptor();
    if (letter == 't') start_thread();
    if (letter == 'f') fork_child();
    if (letter == 's') start_program();
    if (letter == 'l') open_library();
    if (letter == 'c') leave_child();
    if (letter == 'a' && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) ++failures;
    if (letter == 'g') leave_grandchild();
    if (letter == 'p') start_waiting_child();
    if (letter == 'k' && !waiting_child_is_ended_by(SIGUSR2)) ++failures;
    if (letter == 'u') start_thread_with_own_descriptors();
    if (letter == 'b') free(before), close(opened_before);
    if (letter == 'w')
      while (rounds - was < 1000) usleep(1000);
    printf("%d\n", failures);
    fflush(stdout);
  }
  stop = 1;
  for (size_t i = 0; i <= kWorkers; ++i) pthread_join(threads[i], NULL);
  printf("%d\n", failures);
  return 7;
}
