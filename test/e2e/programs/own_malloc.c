/* Programs whose malloc is at work before anything else is, and then needs what unfreed hooks:

     own_malloc        has a malloc of its own, which on its first use calls functions of every family
     own_malloc_early  the same; and the loader calls it while it relocates the program (by an indirect function's
                       resolver), when a file is opened that stays open
     plain_malloc      leaves malloc to libc, or to a library that is preloaded

   They keep two descriptors, a thread that was not joined, a child that was not waited for, and 50 blocks. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alone.h"

static void* idle(void* argument) { return argument; }

#ifndef PLAIN
static char g_arena[1 << 24];
static size_t g_used;
static int g_calls;
enum { kUnused, kFirstUse, kInUse };
static int g_state;

static void first_use(int loader_is_at_work) {
  char text[64];
  int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && read(fd, text, sizeof text) >= 0) close(fd);
  fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY);
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  close(dup2(fd, copy));
  close(fd);
  int pair[2];
  if (pipe(pair) == 0) syscall(SYS_close, pair[0]), close(pair[1]);
  close(socket(AF_UNIX, SOCK_STREAM, 0));
  munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
  if (loader_is_at_work) return;  // libc is not ready for more

  FILE* stream = fopen("/proc/self/maps", "r");
  if (stream) {
    if (!fgets(text, sizeof text, stream)) abort();
    fclose(stream);
  }
  DIR* directory = opendir("/proc/self");
  if (directory) closedir(directory);
  if (getenv("MALLOC_SETTINGS")) abort();
  if (dlsym(RTLD_DEFAULT, "mallocx") || dlsym(RTLD_NEXT, "no_such_function")) abort();
  pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, NULL, 0);
  pthread_t thread;
  if (pthread_create(&thread, NULL, idle, NULL) == 0) pthread_join(thread, NULL);
}

static void* take(size_t alignment, size_t bytes) {
  ++g_calls;
  if (g_state == kUnused) {
    g_state = kFirstUse;
    first_use(0);
    g_state = kInUse;
  }
  size_t start = (g_used + sizeof(size_t) + alignment - 1) & ~(alignment - 1);
  if (start > sizeof g_arena || bytes > sizeof g_arena - start) return NULL;
  memcpy(g_arena + start - sizeof(size_t), &bytes, sizeof bytes);
  g_used = start + bytes;
  return g_arena + start;
}

void* malloc(size_t bytes) { return take(16, bytes); }
void free(void* block) {
  if (block && ((char*)block < g_arena || (char*)block >= g_arena + sizeof g_arena)) abort();
}
void* calloc(size_t count, size_t size) { return malloc(count * size); }
void* realloc(void* block, size_t bytes) {
  void* moved = malloc(bytes);
  size_t old_bytes = 0;
  if (block) memcpy(&old_bytes, (char*)block - sizeof old_bytes, sizeof old_bytes);
  return moved && block ? memcpy(moved, block, old_bytes < bytes ? old_bytes : bytes) : moved;
}
void* aligned_alloc(size_t alignment, size_t bytes) { return take(alignment, bytes); }
void* memalign(size_t alignment, size_t bytes) { return take(alignment, bytes); }
int posix_memalign(void** out, size_t alignment, size_t bytes) {
  *out = take(alignment, bytes);
  return 0;
}
#else
static int g_calls;
#endif

#ifdef EARLY
static int two(void) { return 2; }
static int (*choose(void))(void) {
  first_use(1);
  return open("/dev/null", O_RDONLY) < 0 ? NULL : two;
}
int chosen(void) __attribute__((ifunc("choose")));
#else
static int chosen(void) { return 2; }
#endif

static void* volatile g_kept[50];

/* What few allocators have themselves, and libc makes by theirs. */
static void use_relatives(void) {
  char* volatile block = reallocarray(NULL, 10, 10);
  memset(block, 1, 100);
  block = reallocarray(block, 100, 100);
  if (!block || block[99] != 1) abort();
  free(block);
  free(strdup("text"));
  free(realpath("/", NULL));
  char* text = NULL;
  if (asprintf(&text, "%d", 7) != 1) abort();
  free(text);
}

int main(void) {
  for (int i = 0; i < chosen(); ++i)
    if (open("/dev/null", O_RDONLY) < 0) return 1;  // @kept
  for (int i = 0; i < 50; ++i) g_kept[i] = malloc(100);  // @block
  use_relatives();
  pthread_t thread;
  if (pthread_create(&thread, NULL, idle, NULL)) return 2;  // @thread
  int calls = g_calls;  // waiting allocates, now more, now less
  wait_until_alone();
  pid_t child = fork();  // @child
  if (child == 0) _exit(0);
  siginfo_t ended;
  waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT);
  printf("hello %d\n", calls);
  return 6;
}
