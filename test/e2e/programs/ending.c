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
static void* exit_later(void* status) {
  usleep(200000);
  take();  // @later
  return call_exit(status);
}
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
  if (!strcmp(how, "exit_call")) syscall(SYS_exit, status);
#if defined(__x86_64__)
  if (!strcmp(how, "instruction")) __asm__ volatile("syscall" : : "a"(SYS_exit_group), "D"(status) : "rcx", "r11");
#endif
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
  if (!strcmp(how, "first_thread")) {
    pthread_t thread;
    pthread_create(&thread, NULL, exit_later, &status);
    syscall(SYS_exit, 77);
  }
  if (!strcmp(how, "last_thread")) {
    pthread_exit(NULL);
  }
  return 98;
}
