// Threads that block all signals, so that they cannot be stopped, are woken again and again by the one that they wait for (in
// sigwait, in a read of a signalfd), while the program asks what it has lost: woken ANSWERS TIMES. Prints how many answers
// it got, at most ANSWERS, when it had asked TIMES times.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unfreed/unfreed.h>
#include <unistd.h>

enum { kThreads = 4 };
static pthread_t threads[kThreads];
static atomic_bool is_over;

static void* wait_for_signals(void* by_descriptor) {
  sigset_t signals;
  sigfillset(&signals);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  int descriptor = by_descriptor ? signalfd(-1, &signals, SFD_CLOEXEC) : -1;
  while (!is_over) {
    struct signalfd_siginfo info;
    int got;
    if (by_descriptor ? read(descriptor, &info, sizeof info) < 0 : sigwait(&signals, &got) != 0) abort();
  }
  if (descriptor >= 0) close(descriptor);
  return NULL;
}

static void* wake(void* unused) {
  for (int next = 0; !is_over; next = (next + 1) % kThreads) {
    pthread_kill(threads[next], SIGUSR1);
    usleep(300);
  }
  return unused;
}

int main(int count, char** arguments) {
  if (count < 3) return 2;
  int most = atoi(arguments[1]), times = atoi(arguments[2]), answers = 0;
  uint64_t start = unfreed_mark();
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  for (long at = 0; at < kThreads; ++at) pthread_create(&threads[at], NULL, wait_for_signals, (void*)(at & 1));
  pthread_t waker;
  pthread_create(&waker, NULL, wake, NULL);
  for (int asked = 0; asked < times && answers < most; ++asked) answers += unfreed_lost_since(start) >= 0;
  is_over = true;
  pthread_join(waker, NULL);
  for (int at = 0; at < kThreads; ++at) {
    pthread_kill(threads[at], SIGUSR1);
    pthread_join(threads[at], NULL);
  }
  printf("%d answers\n", answers);
  return 0;
}
