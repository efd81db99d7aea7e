/* A process that runs already, and gets stuck when it is asked to:

     h   the next call of malloc, in whichever thread, waits until SIGRTMIN comes
     v   a thread starts a vfork child, and so waits in the kernel, where it cannot be stopped, until SIGRTMIN comes

     u   the main thread waits for SIGUSR2 in a callback of libc, before it reads the next letter

   It says "ready", and after each letter how often SIGUSR1 has come, and whether a call has failed. At 'q' it ends with
   status 7. The thread that waits for SIGRTMIN does so in a callback of libc. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void* __libc_malloc(size_t bytes);
void __libc_free(void* block);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* block, size_t bytes);

static atomic_int holds, came, failures;
static int gate[2];

static void wait_at_gate(void) {
  char byte;
  while (syscall(SYS_read, gate[0], &byte, 1) < 0 && errno == EINTR) {
  }
}

void* malloc(size_t bytes) {
  if (atomic_exchange(&holds, 0)) wait_at_gate();
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) { return __libc_calloc(count, bytes); }
void* realloc(void* block, size_t bytes) { return __libc_realloc(block, bytes); }
void free(void* block) { __libc_free(block); }

static int wait_and_compare(const void* key, const void* element) {
  int came_now = 0;
  if (sigwait(key, &came_now) != 0) ++failures;
  return came_now != *(const int*)element;
}

static int wait_for(int signal) {
  sigset_t waited;
  sigemptyset(&waited);
  sigaddset(&waited, signal);
  size_t count = 1;
  return lfind(&waited, &signal, &count, sizeof signal, wait_and_compare) != NULL;
}

static void* open_gate(void* unused) {
  while (wait_for(SIGRTMIN))
    if (write(gate[1], "", 1) != 1) ++failures;
  return unused;
}

static void* wait_for_child(void* unused) {
  pid_t child = vfork();
  if (child == 0) {
    wait_at_gate();
    _exit(3);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 3) ++failures;
  return unused;
}

static void count(int signal) { came += signal == SIGUSR1; }

static void say(const char* text) {
  if (write(1, text, strlen(text)) < 0) ++failures;
}

int main(void) {
  if (pipe(gate) != 0) return 1;
  sigset_t others, none;
  sigfillset(&others);
  pthread_sigmask(SIG_BLOCK, &others, &none);
  pthread_t thread;
  pthread_create(&thread, NULL, open_gate, NULL);
  struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &action, NULL);
  sigdelset(&others, SIGUSR1);
  pthread_sigmask(SIG_SETMASK, &others, NULL);
  pthread_sigmask(SIG_SETMASK, NULL, &others);  // some cannot be blocked
  say("ready\n");
  char letter;
  double kept = 1.25;  // in a vector register, perhaps
  while (errno = 77, read(0, &letter, 1) == 1 && letter != 'q') {
    if (letter == '\n') continue;
    if (kept != 1.25) ++failures;
    if (letter == 'h') holds = 1;
    if (letter == 'v') {
      pthread_t waiting;
      pthread_create(&waiting, NULL, wait_for_child, NULL);
      pthread_detach(waiting);
    }
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    for (int signal = 1; signal < SIGRTMAX; ++signal)
      failures += sigismember(&now, signal) != sigismember(&others, signal);
    char text[64];
    snprintf(text, sizeof text, "%d %d\n", came, failures);
    say(text);
    if (letter == 'u') wait_for(SIGUSR2);
  }
  return 7;
}
