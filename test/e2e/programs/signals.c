// Says which signals it gets, one line each, and ends when SIGTERM comes or its input ends. "signals stop" also stops
// itself first.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void write_line(const char* text) {
  ssize_t ignored = write(1, text, strlen(text));
  (void)ignored;
}

static void on_signal(int signal, siginfo_t* info, void* context) {
  (void)context;
  char line[64];
  snprintf(line, sizeof line, "%d %d\n", signal, info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
  write_line(line);
  if (signal == SIGTERM) _exit(7);
}

int main(int argc, char** argv) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  // One at a time, so that each line is whole.
  sigfillset(&action.sa_mask);
  for (int signal = 1; signal <= SIGRTMAX; signal++) {
    int is_ours = signal != SIGTSTP && signal != SIGTTIN && signal != SIGTTOU && signal != SIGCHLD;
    if (is_ours) sigaction(signal, &action, NULL);
  }
  write_line("ready\n");
  if (argc > 1 && strcmp(argv[1], "stop") == 0) raise(SIGSTOP);
  char byte;
  for (;;) {
    ssize_t got = read(0, &byte, 1);
    if (got == 0 || (got < 0 && errno != EINTR)) break;
  }
  write_line("end of input\n");
  return 0;
}
