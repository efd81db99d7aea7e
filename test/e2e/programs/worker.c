// A program that waits to be looked at: opens N files in take(), says "ready", then obeys lines on stdin:
//   open    one more        close   the newest      end     exit 0
// "usr2": has a handler for SIGUSR2 of its own, which says so. "thread": all of that in a thread, after the main thread
// has ended by pthread_exit.
//
//     worker N [usr2|thread]
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int take(void) {
  return open("/etc/passwd", O_RDONLY);  // @take
}
static void on_usr2(int number) {
  (void)number;
  if (write(1, "mine\n", 5) != 5) _exit(97);
}

static int work(int wanted) {
  static int fds[1000];
  int count = 0;
  char line[80];
  while (count < wanted) fds[count++] = take();
  if (write(1, "ready\n", 6) != 6) return 97;
  for (;;) {
    // read, not fgets: a signal may arrive at any time, and nothing may be lost by it
    ssize_t got = 0;
    for (char c; got < 79 && read(0, &c, 1) == 1 && c != '\n';) line[got++] = c;
    line[got] = '\0';
    if (!strcmp(line, "open")) fds[count++] = take();
    if (!strcmp(line, "close")) close(fds[--count]);
    if (!strcmp(line, "end") || !*line) return 0;
    if (write(1, "done\n", 5) != 5) return 97;
  }
}

static pthread_t g_main;

static void* work_alone(void* wanted) {
  pthread_join(g_main, NULL);
  exit(work(*(int*)wanted));
}

int main(int argc, char** argv) {
  static int wanted;
  wanted = argc > 1 ? atoi(argv[1]) : 0;
  if (argc > 2 && !strcmp(argv[2], "usr2")) signal(SIGUSR2, on_usr2);
  if (argc > 2 && !strcmp(argv[2], "thread")) {
    pthread_t thread;
    g_main = pthread_self();
    if (pthread_create(&thread, NULL, work_alone, &wanted)) return 97;
    pthread_exit(NULL);
  }
  return work(wanted);
}
