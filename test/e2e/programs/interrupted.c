// `often`: reports are made until all ways that have a time limit have ended; prints which are left after a hundred.
// Twenty-three ways to wait in the kernel, one in each thread, while reports stop all threads again and again. Prints the name
// of each call that was cut short, or ended before its time. `alone NAME`: that way alone, in the only thread; then waits until its
// input ends. `names`: prints all names.
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unfreed/unfreed.h"

static const struct timespec kWait = {1, 500000000};
static const struct timeval kWaitMicro = {1, 500000};
#define WAIT_MS 1500

static struct timespec later(clockid_t clock) {
  struct timespec end;
  clock_gettime(clock, &end);
  end.tv_sec += 2;
  return end;
}

static int by_nanosleep(void) { struct timespec wait = kWait; return nanosleep(&wait, NULL); }
static int by_clock_nanosleep(void) { return (errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &kWait, NULL)) ? -1 : 0; }
static int by_nanosleep_in_place(void) { struct timespec wait = kWait; return nanosleep(&wait, &wait); }
static int by_clock_nanosleep_in_place(void) {
  struct timespec wait = kWait;
  return (errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, &wait)) ? -1 : 0;
}
static int by_usleep(void) { return usleep(WAIT_MS * 1000); }
static int by_sleep(void) { errno = EINTR; return sleep(2) ? -1 : 0; }
static int by_poll(void) { return poll(NULL, 0, WAIT_MS); }
static int by_ppoll(void) { return ppoll(NULL, 0, &kWait, NULL); }
static int by_select(void) { struct timeval wait = kWaitMicro; return select(0, NULL, NULL, NULL, &wait); }
static int by_pselect(void) { return pselect(0, NULL, NULL, NULL, &kWait, NULL); }
static int by_epoll_wait(void) { struct epoll_event event; return epoll_wait(epoll_create1(0), &event, 1, WAIT_MS); }
static int by_epoll_pwait(void) { struct epoll_event event; return epoll_pwait(epoll_create1(0), &event, 1, WAIT_MS, NULL); }
static int by_sem_timedwait(void) {
  static sem_t sem;
  sem_init(&sem, 0, 0);
  struct timespec end = later(CLOCK_REALTIME);
  return sem_timedwait(&sem, &end);
}
static int by_futex(void) {
  static int word;
  return (int)syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &kWait, NULL, 0);
}
static int by_condition(void) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  struct timespec end = later(CLOCK_REALTIME);
  pthread_mutex_lock(&mutex);
  errno = pthread_cond_timedwait(&condition, &mutex, &end);
  pthread_mutex_unlock(&mutex);
  return errno ? -1 : 0;
}
static int by_sigtimedwait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  return sigtimedwait(&set, NULL, &kWait);
}
static int by_sigwait(void) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  int got = sigtimedwait(&all, NULL, &kWait);
  if (got > 0) printf("sigwait was given %d\n", got);
  return got;
}
static int by_recv(void) {
  int ends[2];
  char byte;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) abort();
  setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &kWaitMicro, sizeof kWaitMicro);
  return (int)recv(ends[0], &byte, 1, 0);
}
static int by_semtimedop(void) {
  int set = semget(IPC_PRIVATE, 1, 0600);
  struct sembuf take = {0, -1, 0};
  int result = semtimedop(set, &take, 1, &kWait), error = errno;
  semctl(set, 0, IPC_RMID);
  errno = error;
  return result;
}
static int by_mq_timedreceive(void) {
  struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};
  mqd_t queue = mq_open("/unfreed-test-interrupted", O_CREAT | O_RDWR, 0600, &attributes);
  if (queue < 0) return 0;  // no message queues here
  mq_unlink("/unfreed-test-interrupted");
  char message[8];
  struct timespec end = later(CLOCK_REALTIME);
  return (int)mq_timedreceive(queue, message, sizeof message, NULL, &end);
}
static int by_read(void) {
  int ends[2];
  if (pipe(ends)) abort();
  if (!fork()) {
    sleep(2);
    _exit(0);
  }
  close(ends[1]);
  char byte;
  return (int)read(ends[0], &byte, 1);
}
static int by_waitpid(void) {
  pid_t child = fork();
  if (!child) {
    sleep(2);
    _exit(0);
  }
  return waitpid(child, NULL, 0) == child ? 0 : -1;
}
static int by_msgrcv(void) {
  int queue = msgget(IPC_PRIVATE, 0600);
  if (!fork()) {
    struct { long type; char text; } message = {1, 'x'};
    sleep(2);
    msgsnd(queue, &message, 1, 0);
    _exit(0);
  }
  struct { long type; char text; } got;
  int result = (int)msgrcv(queue, &got, 1, 0, 0), error = errno;
  msgctl(queue, IPC_RMID, NULL);
  errno = error;
  return result;
}

struct Way {
  const char* name;
  int (*wait)(void);
  int failed;
  double seconds;
};
static struct Way ways[] = {
    {"nanosleep", by_nanosleep, 0, 0}, {"clock_nanosleep", by_clock_nanosleep, 0, 0}, {"usleep", by_usleep, 0, 0}, {"sleep", by_sleep, 0, 0},
    {"nanosleep_in_place", by_nanosleep_in_place, 0, 0}, {"clock_nanosleep_in_place", by_clock_nanosleep_in_place, 0, 0},
    {"poll", by_poll, 0, 0}, {"ppoll", by_ppoll, 0, 0}, {"select", by_select, 0, 0}, {"pselect", by_pselect, 0, 0},
    {"epoll_wait", by_epoll_wait, 0, 0}, {"epoll_pwait", by_epoll_pwait, 0, 0}, {"sem_timedwait", by_sem_timedwait, 0, 0},
    {"futex", by_futex, 0, 0}, {"pthread_cond_timedwait", by_condition, 0, 0}, {"sigtimedwait", by_sigtimedwait, 0, 0}, {"sigwait", by_sigwait, 0, 0}, {"recv", by_recv, 0, 0},
    {"semtimedop", by_semtimedop, 0, 0}, {"mq_timedreceive", by_mq_timedreceive, 0, 0}, {"read", by_read, 0, 0}, {"waitpid", by_waitpid, 0, 0},
    {"msgrcv", by_msgrcv, 0, 0},
};
enum { kWays = sizeof ways / sizeof *ways };

static void* go(void* argument) {
  struct Way* way = argument;
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  errno = 0;
  way->failed = way->wait() < 0 && errno == EINTR;
  clock_gettime(CLOCK_MONOTONIC, &end);
  way->seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
  return NULL;
}

static void tell(const struct Way* way) {
  if (way->failed || way->seconds < 1.49) printf("%s %s after %.2f s\n", way->name, way->failed ? "failed" : "ended", way->seconds);
}

static int alone(const char* name) {
  for (int i = 0; i < kWays; ++i) {
    if (strcmp(ways[i].name, name)) continue;
    printf("ready\n");
    fflush(stdout);
    go(&ways[i]);
    tell(&ways[i]);
    printf("%s done\n", name);
    fflush(stdout);
  }
  return getchar() == EOF ? 0 : 1;
}

static volatile int ended[kWays];
static void* go_and_note(void* argument) {
  go(argument);
  ended[(struct Way*)argument - ways] = 1;
  return NULL;
}

/// The time of a wait goes on while reports are made: each of them cuts it short, and there are more than fit into it.
static int often(void) {
  pthread_t threads[kWays];
  int left = kWays, reports = 0;
  for (int i = 0; i < kWays; ++i) pthread_create(&threads[i], NULL, go_and_note, &ways[i]);
  for (; left && reports < 100; ++reports) {
    usleep(100000);
    unfreed_report(NULL);
    left = 0;
    for (int i = 0; i < kWays; ++i) left += !ended[i];
  }
  for (int i = 0; i < kWays; ++i)
    if (!ended[i]) printf("%s\n", ways[i].name);
  printf("done\n");
  fflush(stdout);
  _exit(0);
}

int main(int count, char** arguments) {
  if (count == 2 && !strcmp(arguments[1], "often")) return often();
  if (count == 3) return alone(arguments[2]);
  bool wants_names = count == 2 && !strcmp(arguments[1], "names");
  for (int i = 0; wants_names && i < kWays; ++i) puts(ways[i].name);
  if (wants_names) return 0;
  pthread_t threads[kWays];
  for (int i = 0; i < kWays; ++i) pthread_create(&threads[i], NULL, go, &ways[i]);
  int reports = 0;
  for (int i = 0; count > 1 && i < 6; ++i) {
    usleep(100000);
    reports += unfreed_report(arguments[1]) == 0;
  }
  for (int i = 0; i < kWays; ++i) pthread_join(threads[i], NULL);
  for (int i = 0; i < kWays; ++i) tell(&ways[i]);
  printf("%d reports\n", reports);
  return 0;
}
