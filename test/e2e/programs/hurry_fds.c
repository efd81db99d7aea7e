/* Four threads make and end descriptors at the same time, of all kinds, and keep some. Then the numbers that are open
   are listed, and it waits for a line. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kThreads = 4, kTurns = 60, kKept = 10 };

static int keep(int number) { return number % kKept == 0; }

static void* hurry(void* unused) {
  for (int turn = 0; turn < kTurns; ++turn) {
    int file = open("/etc/passwd", O_RDONLY | O_CLOEXEC), copy = dup(file);
    dup2(file, copy);  // @kept
    int ends[2], pair[2];
    if (pipe2(ends, O_CLOEXEC) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) abort();
    int event = eventfd(0, 0), memory = memfd_create("hurry", 0);
    for (int number = 0; number < 2; ++number) close(ends[number]), close(pair[number]);
    close(file);
    if (!keep(turn)) close(copy);
    close(event);
    close_range((unsigned)memory, (unsigned)memory, 0);
  }
  return unused;
}

int main(void) {
  pthread_t threads[kThreads];
  for (int at = 0; at < kThreads; ++at) pthread_create(&threads[at], NULL, hurry, NULL);
  for (int at = 0; at < kThreads; ++at) pthread_join(threads[at], NULL);
  DIR* folder = opendir("/proc/self/fd");
  for (struct dirent* entry; (entry = readdir(folder));)
    if (atoi(entry->d_name) > 2 && atoi(entry->d_name) != dirfd(folder)) printf("%s ", entry->d_name);
  closedir(folder);
  printf("\n");
  fflush(stdout);
  getchar();
  return 0;
}
