// Two fork children that acquire nothing: one returns from main, one leaves by _exit. The third is a grandchild.
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
  for (int child = 0; child < 2; child++) {
    pid_t pid = fork();
    if (pid == 0 && child == 0) {
      if (fork() == 0) _exit(0);
      wait(NULL);
      return 0;
    }
    if (pid == 0) _exit(0);
    int status;
    if (waitpid(pid, &status, 0) != pid || status) return 2;
  }
  return 0;
}
