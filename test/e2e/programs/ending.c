// Ends in every way a program can, holding two descriptors and with text in stdout's buffer.
//
//     ending HOW [STATUS]
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int take(void) {
  return open("/etc/passwd", O_RDONLY);  // @take
}
static void* call_exit(void* status) { exit(*(int*)status); }
static void say_goodbye(void) { fputs("goodbye\n", stdout); }

int main(int argc, char** argv) {
  const char* how = argc > 1 ? argv[1] : "return";
  int status = argc > 2 ? atoi(argv[2]) : 0;
  atexit(say_goodbye);
  fputs("buffered\n", stdout);
  for (int i = 0; i < 2; i++)
    if (take() < 0) return 99;
  if (!strcmp(how, "return")) return status;
  if (!strcmp(how, "exit")) exit(status);
  if (!strcmp(how, "_exit")) _exit(status);
  if (!strcmp(how, "_Exit")) _Exit(status);
  if (!strcmp(how, "quick_exit")) quick_exit(status);
  if (!strcmp(how, "exit_group")) syscall(SYS_exit_group, status);
  if (!strcmp(how, "abort")) abort();
  if (!strcmp(how, "crash")) *(volatile int*)8 = 1;
  if (!strcmp(how, "signal")) {
    raise(status);
    pause();
  }
  if (!strcmp(how, "thread")) {
    pthread_t thread;
    pthread_create(&thread, NULL, call_exit, &status);
    pthread_join(thread, NULL);
  }
  if (!strcmp(how, "last_thread")) {
    pthread_exit(NULL);
  }
  return 98;
}
