// Threads that never end and what they keep. stuck [stay|many|raw]: says "ready" when all of them stand where they stay.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_never = PTHREAD_COND_INITIALIZER;

static void wait_for_ever(void) {
  pthread_mutex_lock(&g_mutex);
  for (;;) pthread_cond_wait(&g_never, &g_mutex);  // @waits
}

static void* keeper(void* size) {
  pthread_setname_np(pthread_self(), "keeper");
  open("/etc/passwd", O_RDONLY);
  open("/etc/group", O_RDONLY);
  memset(malloc(*(size_t*)size), 1, *(size_t*)size);
  wait_for_ever();  // @stuck
  return NULL;
}
static void* sleeper(void* unused) {
  for (;;) sleep(1000);  // @sleeps
  return unused;
}
static void* reader(void* pipe) {
  char byte;
  while (read(*(int*)pipe, &byte, 1) > 0) {  // @reads
  }
  return NULL;
}
static void* quick(void* unused) { return unused; }

/// A thread that no library made.
static void start_raw_thread(void) {
#ifdef __x86_64__
  static char stack[4096];
  long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  long result;
  __asm__ volatile(
      "xorl %%r10d, %%r10d\n\txorl %%r8d, %%r8d\n\tsyscall\n\t"
      "testq %%rax, %%rax\n\tjnz 1f\n"
      "2:\tmovl $34, %%eax\n\tsyscall\n\tjmp 2b\n"  // pause
      "1:"
      : "=a"(result)
      : "a"(SYS_clone), "D"(flags), "S"(stack + sizeof stack), "d"(0L)
      : "rcx", "r8", "r10", "r11", "memory");
  if (result < 0) abort();
#endif
}

static void wait_until_all_wait(int threads) {
  for (int waiting = 0; waiting < threads;) {
    usleep(10000);
    waiting = 0;
    FILE* list = popen("cat /proc/$PPID/task/*/syscall", "r");
    char line[256];
    while (fgets(line, sizeof line, list))
      if (strncmp(line, "running", 7) != 0) ++waiting;
    pclose(list);
  }
}

int main(int count, char** arguments) {
  if (count > 1 && !strcmp(arguments[1], "many")) {
    pthread_t thread;
    for (int i = 0; i < 12; ++i) pthread_create(&thread, NULL, sleeper, NULL);  // @many
    return 0;
  }
  if (count > 1 && !strcmp(arguments[1], "raw")) {
    start_raw_thread();
    usleep(50000);
    return 0;
  }
  static size_t size = 1 << 20;
  static int ends[2];
  pthread_t thread;
  if (pipe2(ends, O_CLOEXEC) != 0) return 1;
  pthread_create(&thread, NULL, keeper, &size);
  pthread_create(&thread, NULL, sleeper, NULL);
  pthread_detach(thread);
  pthread_create(&thread, NULL, reader, ends);
  pthread_create(&thread, NULL, quick, NULL);  // @never_joined
  wait_until_all_wait(4);
  puts("ready");
  fflush(stdout);
  if (count > 1 && !strcmp(arguments[1], "stay")) getchar();
  return 0;
}
