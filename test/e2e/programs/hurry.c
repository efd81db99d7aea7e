// Ends, or tries to, at moments that are bad for a report.
//
//     hurry report    a signal handler calls _exit(7) while unfreed_report() is at work
//     hurry end       the same while the process is returning from main: 0 or 7
//     hurry asked     the same whenever it is sent SIGALRM
//     hurry reader    returns 0 from main, with text in stdout's buffer, while a thread waits in getchar()
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unfreed/unfreed.h>
#include <unistd.h>

static void on_alarm(int number) {
  (void)number;
  _exit(7);
}
static void* read_for_ever(void* unused) {
  getchar();  // and has locked stdin as long as it waits
  return unused;
}

int main(int argc, char** argv) {
  const char* how = argc > 1 ? argv[1] : "";
  struct itimerval soon = {{0, 0}, {0, !strcmp(how, "report") ? 30000 : 1500}};
  signal(SIGALRM, on_alarm);
  if (open("/dev/null", O_RDONLY) < 0) return 97;
  if (!strcmp(how, "report")) {
    setitimer(ITIMER_REAL, &soon, NULL);
    for (;;) unfreed_report(NULL);
  }
  if (!strcmp(how, "end")) setitimer(ITIMER_REAL, &soon, NULL);
  if (!strcmp(how, "reader")) {
    pthread_t thread;
    pthread_create(&thread, NULL, read_for_ever, NULL);
    pthread_detach(thread);
    usleep(100000);
    fputs("buffered\n", stdout);
  }
  return 0;
}
