// A process's number is used again after a thread that had started its first user ended before that was collected. The
// second user inherits a descriptor, and the tracer sees it stop before its parent does. "refused": the caller may not
// choose numbers.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int tracer, children;
static atomic_int is_running;

static int tracer_of_this(void) {
  char line[128];
  int found = 0;
  FILE* file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, "TracerPid:", 10) == 0) found = atoi(line + 10);
  if (file) fclose(file);
  return found;
}

/// The tracer goes on when both the child and its parent have stopped.
static void* wake_tracer(void* unused) {
  atomic_store(&is_running, 1);
  char text[32];
  while (pread(children, text, sizeof text, 0) == 0) usleep(1000);
  usleep(100000);
  kill(tracer, SIGCONT);
  return unused;
}

int main(int count, char** arguments) {
  if (count > 1) return 0;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
  children = open(path, O_RDONLY | O_CLOEXEC);
  tracer = tracer_of_this();
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  int* first = (int*)malloc(sizeof *first);
  int numbers[2];
  if (pipe2(numbers, O_CLOEXEC) != 0) return 1;
  pid_t parent = fork();
  if (parent == 0) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    siginfo_t info;
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    if (write(numbers[1], &child, sizeof child) != sizeof child) _exit(1);
    _exit(0);
  }
  if (read(numbers[0], first, sizeof *first) != sizeof *first) return 1;
  while (wait(NULL) > 0) {
  }
  open("/etc/passwd", O_RDONLY);  // @inherited
  pthread_t thread;
  pthread_create(&thread, NULL, wake_tracer, NULL);
  struct clone_args how = {0};
  how.exit_signal = SIGCHLD;
  how.set_tid = (uint64_t)(uintptr_t)first;
  how.set_tid_size = 1;
  while (!atomic_load(&is_running)) usleep(1000);
  kill(tracer, SIGSTOP);
  long second = syscall(SYS_clone3, &how, sizeof how);
  if (second == 0) {
    execl("/proc/self/exe", arguments[0], "end", (char*)NULL);
    _exit(1);
  }
  if (second < 0) kill(tracer, SIGCONT);
  while (wait(NULL) > 0) {
  }
  puts(second == *first ? "reused" : "refused");
  exit(0);
}
