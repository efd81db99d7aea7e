/* Does what lines on its input say, and answers each with a line: unfreed is attached to it meanwhile. Threads wait in
   calls that end with EINTR if they are stopped, and count how often they do. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kLong = 100 }; /* seconds; longer than the test */

static int g_epoll, g_socket, g_semaphore;
static volatile int g_interrupted, g_signals;

static void wait_in_epoll(void) {
  struct epoll_event event;
  if (epoll_wait(g_epoll, &event, 1, kLong * 1000) < 0 && errno == EINTR) ++g_interrupted;
}
static void wait_in_semop(void) {
  struct sembuf down = {0, -1, 0};
  if (semop(g_semaphore, &down, 1) < 0 && errno == EINTR) ++g_interrupted;
}
static void wait_in_recv(void) {
  char byte;
  if (recv(g_socket, &byte, 1, 0) < 0 && errno == EINTR) ++g_interrupted;
}
static void wait_in_sigtimedwait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  struct timespec limit = {kLong, 0};
  if (sigtimedwait(&set, NULL, &limit) < 0 && errno == EINTR) ++g_interrupted;
}
static void wait_in_sleep(void) {
  struct timespec limit = {kLong, 0};
  if (nanosleep(&limit, NULL) < 0 && errno == EINTR) ++g_interrupted;
}
static void wait_in_poll(void) {
  if (poll(NULL, 0, kLong * 1000) < 0 && errno == EINTR) ++g_interrupted;
}

typedef void (*Wait)(void);
static const Wait kWaits[] = {wait_in_epoll,        wait_in_semop, wait_in_recv,
                              wait_in_sigtimedwait, wait_in_sleep, wait_in_poll};

static void* wait_again(void* wait) {
  for (;;) (*(const Wait*)wait)();
  return NULL;
}

static void count_signal(int signal) {
  (void)signal;
  ++g_signals;
}

static int open_one(void) { return open("/etc/passwd", O_RDONLY); }  // @opened

static void* sleep_long(void* unused) {
  sleep(kLong);
  return unused;
}

static void list_descriptors(void) {
  DIR* folder = opendir("/proc/self/fd");
  struct dirent* entry;
  while ((entry = readdir(folder)))
    if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(folder)) printf("%s ", entry->d_name);
  closedir(folder);
}

int main(int argc, char** argv) {
  (void)argc;
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  sigaddset(&blocked, SIGRTMIN);
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  int sockets[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
  g_socket = sockets[0];
  struct timeval limit = {kLong, 0};
  setsockopt(g_socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  g_epoll = epoll_create1(EPOLL_CLOEXEC);
  g_semaphore = semget(IPC_PRIVATE, 1, 0600);
  pid_t child = fork();
  if (child == 0) {
    sleep(kLong);
    _exit(0);
  }
  for (size_t at = 0; at < sizeof kWaits / sizeof *kWaits; ++at) {
    pthread_t thread;
    pthread_create(&thread, NULL, wait_again, (void*)(uintptr_t)&kWaits[at]);
  }
  struct sigaction action = {0};
  action.sa_handler = count_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGRTMIN, &action, NULL);
  sigdelset(&blocked, SIGUSR2);
  pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
  int last = -1;
  printf("ready\n");
  fflush(stdout);
  char line[64];
  pid_t started = 0;
  while (fgets(line, sizeof line, stdin)) {
    pthread_t thread;
    switch (line[0]) {
      case 'o':
        last = open_one();
        break;
      case 'c':
        close(last);
        break;
      case 't':
        pthread_create(&thread, NULL, sleep_long, NULL);  // @thread
        break;
      case 'f':
        started = fork();  // @child
        if (started == 0) {
          open_one();
          sleep(kLong);
          _exit(0);
        }
        break;
      case 'w': /* the child has ended */
        kill(started, SIGKILL);
        waitpid(started, NULL, 0);
        break;
      case 'l':
        list_descriptors();
        break;
      case 'i':
        printf("%d", g_interrupted);
        break;
      case 's':
        printf("%d", g_signals);
        break;
      case 'x':
        kill(child, SIGKILL);
        execl("/proc/self/exe", argv[0], NULL);
        break;
    }
    if (line[0] == 'q') break;
    printf("\n");
    fflush(stdout);
  }
  semctl(g_semaphore, 0, IPC_RMID);
  kill(child, SIGKILL);
  if (started > 0) kill(started, SIGKILL);
  _exit(7);
}
