// Starts as root and goes on as another user, as servers do: drop_user MODE USER [CMD…]
//   child     a child becomes the user and loses three descriptors; the parent, still root, loses one
//   self      the process itself becomes the user, and loses three
//   first     the same in a child, which acquires nothing before it becomes the user
//   exec      a child becomes the user and executes CMD
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void lose(int count) {
  for (int i = 0; i < count; i++) open("/etc/passwd", O_RDONLY);  // @lost
}

static void become(unsigned user) {
  if (setgroups(0, NULL) || setgid(user) || setuid(user)) _exit(3);
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const char* mode = argv[1];
  unsigned user = (unsigned)atoi(argv[2]);
  if (strcmp(mode, "self") == 0) {
    become(user);
    lose(3);
    return 0;
  }
  pid_t pid = fork();
  if (pid == 0) {
    if (strcmp(mode, "child") == 0) lose(1);
    become(user);
    if (strcmp(mode, "exec") == 0) {
      execv(argv[3], argv + 3);
      return 4;
    }
    lose(strcmp(mode, "child") == 0 ? 2 : 3);
    return 0;
  }
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || status) return 5;
  lose(1);
  return 0;
}
