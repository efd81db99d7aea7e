// A process tree: a parent and three children, of which the first gives back what it takes, the second leaks three
// descriptors and the last execs /bin/true with one descriptor that crosses into it.
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int take(void) {
  return open("/etc/passwd", O_RDONLY);  // @take
}

int main(void) {
  int parents = take();
  for (int child = 0; child < 3; child++) {
    pid_t pid = fork();
    if (pid == 0) {
      if (child == 0) close(take());
      if (child == 1)
        for (int i = 0; i < 3; i++) take();
      if (child == 2) {
        take();
        execl("/bin/true", "true", (char*)NULL);
        return 1;
      }
      return 0;
    }
    int status;
    if (waitpid(pid, &status, 0) != pid || status) return 2;
  }
  close(parents);
  return 0;
}
