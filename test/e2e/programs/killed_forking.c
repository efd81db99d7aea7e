// Kills children again and again while they start others: killed_forking TIMES
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void* start_threads(void* unused) {
  pthread_t thread;
  for (;;)
    if (pthread_create(&thread, NULL, (void* (*)(void*))getpid, unused) == 0) pthread_join(thread, NULL);
}

static void start_others(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, start_threads, NULL);
  for (;;) {
    pid_t child = fork();
    if (child == 0) {
      close(open("/dev/null", O_RDONLY));
      _exit(0);
    }
    if (child > 0) waitpid(child, NULL, 0);
  }
}

int main(int count, char** arguments) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (int i = count > 1 ? atoi(arguments[1]) : 1; i > 0; --i) {
    pid_t victim = fork();
    if (victim == 0) start_others();
    usleep((useconds_t)(500 + i * 37 % 2000));
    kill(victim, SIGKILL);
    while (wait(NULL) > 0) {
    }
  }
  puts("end");
  return 0;
}
