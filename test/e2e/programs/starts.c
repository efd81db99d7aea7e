// starts HOW PROGRAM [ARGUMENT…]: starts it in that way, waits, and ends with its status. "environ" takes the place of
// a whole environment that is handed over by hand; the program is found in PATH where the way has it so.
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

static int status_of(pid_t pid) {
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return 99;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void execute(const char* how, char** words) {
  char* copy[512];
  int count = 0;
  while (environ[count] && count < 511) copy[count] = environ[count], ++count;
  copy[count] = NULL;
  if (!strcmp(how, "execve")) execve(words[0], words, copy);
  if (!strcmp(how, "execv")) execv(words[0], words);
  if (!strcmp(how, "execvp")) execvp(words[0], words);
  if (!strcmp(how, "execvpe")) execvpe(words[0], words, copy);
  if (!strcmp(how, "execl")) execl(words[0], words[0], words[1], (char*)NULL);
  if (!strcmp(how, "execlp")) execlp(words[0], words[0], words[1], (char*)NULL);
  if (!strcmp(how, "execle")) execle(words[0], words[0], words[1], (char*)NULL, copy);
  if (!strcmp(how, "fexecve")) fexecve(open(words[0], O_RDONLY | O_CLOEXEC), words, copy);
  if (!strcmp(how, "execveat")) execveat(AT_FDCWD, words[0], words, copy, 0);
  if (!strcmp(how, "execveat-fd")) execveat(open(words[0], O_RDONLY | O_CLOEXEC), "", words, copy, AT_EMPTY_PATH);
  if (!strcmp(how, "syscall")) syscall(SYS_execve, words[0], words, copy);
}

int main(int argc, char** argv) {
  const char* how = argv[1];
  char** words = argv + 2;
  (void)argc;
  if (!strncmp(how, "here-", 5)) {
    execute(how + 5, words);
    return 98;
  }
  if (!strncmp(how, "fork-", 5)) {
    pid_t pid = fork();
    if (pid == 0) {
      execute(how + 5, words);
      _exit(98);
    }
    return status_of(pid);
  }
  if (!strncmp(how, "vfork-", 6)) {
    pid_t pid = vfork();
    if (pid == 0) {
      execute(how + 6, words);
      _exit(98);
    }
    return status_of(pid);
  }
  pid_t pid = -1;
  if (!strcmp(how, "spawn") && posix_spawn(&pid, words[0], NULL, NULL, words, environ)) return 97;
  if (!strcmp(how, "spawnp") && posix_spawnp(&pid, words[0], NULL, NULL, words, environ)) return 97;
  if (!strcmp(how, "spawn-elsewhere")) {
    char* name = strrchr(words[0], '/');
    char folder[1024], file[256];
    snprintf(folder, sizeof folder, "%.*s", (int)(name - words[0]), words[0]);
    snprintf(file, sizeof file, ".%s", name);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, "/");
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    if (posix_spawn(&pid, file, &actions, NULL, words, environ)) return 97;
    posix_spawn_file_actions_destroy(&actions);
  }
  if (!strcmp(how, "system")) {
    int status = system(words[0]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 96;
  }
  if (!strcmp(how, "popen")) {
    FILE* stream = popen(words[0], "r");
    for (int c; stream && (c = fgetc(stream)) != EOF;) putchar(c);
    int status = stream ? pclose(stream) : -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 96;
  }
  return status_of(pid);
}
