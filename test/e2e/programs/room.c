// Uses room in its address space that nobody else is to take, in this process ("here") or in one forked from it
// ("forked"), and says how that went.
//   stack    a thread on a growing mapping (MAP_GROWSDOWN), which grows by 30 pages
//   main     recursion down to near the limit of the main thread's stack
//   break    sbrk(), 512 MiB of it
//   leak     three descriptors
//   threads  eight at once, with stacks of 8 MiB
//   fill     blocks of 10,000 bytes, until there are no more; says how many megabytes
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kPage = 4096 };

static int dig(uintptr_t down_to) {
  volatile char frame[256];
  frame[0] = 1;
  if ((uintptr_t)frame < down_to) return 0;
  return dig(down_to) + frame[0] - 1;
}

static void* digger(void* down_to) {
  dig((uintptr_t)down_to);
  return NULL;
}

static int on_growing_stack(void) {
  const size_t most = 32 * kPage, first = 2 * kPage, guard = 256 * kPage;  // the kernel's stack_guard_gap
  char* free_room = mmap(NULL, guard + most, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char* top = free_room + guard + most;
  munmap(free_room, guard + most);
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN;
  if (mmap(top - first, first, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) return 2;
  close(open("/dev/null", O_RDONLY));
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, top - most, most);
  if (pthread_create(&thread, &attributes, digger, top - most + 2 * kPage)) return 3;
  pthread_join(thread, NULL);
  return 0;
}

static int on_main_stack(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_STACK, &limit);
  if (limit.rlim_cur == RLIM_INFINITY) limit.rlim_cur = 64 << 20;
  close(open("/dev/null", O_RDONLY));
  char here;
  return dig((uintptr_t)&here - limit.rlim_cur / 8 * 7);
}

static int on_the_break(void) {
  close(open("/dev/null", O_RDONLY));
  free(malloc(100));
  for (int i = 0; i < 512; ++i) {
    char* more = sbrk(1 << 20);
    if (more == (void*)-1) return 4;
    *more = 1;
  }
  return 0;
}

static int leak(void) {
  for (int i = 0; i < 3; ++i)
    if (open("/dev/null", O_RDONLY) < 0) return 5;
  return 0;
}

static pthread_barrier_t all_there;

static void* wait_for_all(void* unused) {
  pthread_barrier_wait(&all_there);
  return unused;
}

static int start_threads(void) {
  enum { kThreads = 8 };
  pthread_t threads[kThreads];
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 8 << 20);
  pthread_barrier_init(&all_there, NULL, kThreads + 1);
  for (int i = 0; i < kThreads; ++i)
    if (pthread_create(&threads[i], &attributes, wait_for_all, NULL)) return 6;
  pthread_barrier_wait(&all_there);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  return 0;
}

static int fill(void) {
  size_t bytes = 0;
  for (char* block; (block = malloc(10000)); bytes += 10000) *block = 1;
  printf("%zu MB\n", bytes / 1000000);
  return 0;
}

static int use(const char* what) {
  if (strcmp(what, "stack") == 0) return on_growing_stack();
  if (strcmp(what, "main") == 0) return on_main_stack();
  if (strcmp(what, "threads") == 0) return start_threads();
  if (strcmp(what, "fill") == 0) return fill();
  return strcmp(what, "break") == 0 ? on_the_break() : leak();
}

int main(int argc, char** argv) {
  if (argc < 3) return 64;
  if (strcmp(argv[2], "here") == 0) {
    printf("here: %d\n", use(argv[1]));
    return 0;
  }
  pid_t child = fork();
  if (child == 0) _exit(use(argv[1]));
  int status = -1;
  waitpid(child, &status, 0);
  printf("forked: %s %d\n", WIFSIGNALED(status) ? "signal" : "status",
         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  return 0;
}
