// Has reports made while nobody reads stderr any more, and prints what came of SIGPIPE.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unfreed/unfreed.h>
#include <unistd.h>

static volatile sig_atomic_t g_signals;
static void on_pipe(int number) {
  (void)number;
  g_signals++;
}

int main(void) {
  sigset_t pending;
  if (open("/dev/null", O_RDONLY) < 0) return 97;
  unfreed_report(NULL);  // at its default the signal would have ended the program
  signal(SIGPIPE, on_pipe);
  unfreed_report(NULL);
  sigpending(&pending);
  printf("%d signals, %d pending\n", (int)g_signals, sigismember(&pending, SIGPIPE));
  raise(SIGPIPE);
  printf("%d after its own\n", (int)g_signals);
  signal(SIGPIPE, SIG_DFL);
  return 0;
}
