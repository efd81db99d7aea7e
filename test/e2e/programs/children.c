// Child processes that are collected or not, and descriptors that go along into other programs. children CASE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unfreed/unfreed.h>
#include <unistd.h>

extern char** environ;
static char* kTrue[] = {"true", NULL};

static void wait_until_ended(pid_t child) {
  siginfo_t about;
  waitid(P_PID, (id_t)child, &about, WEXITED | WNOWAIT);
}

static pid_t start(void) {
  pid_t child = fork();  // @start
  if (child == 0) _exit(0);
  wait_until_ended(child);
  return child;
}

static void open_inheritable(void) { open("/etc/passwd", O_RDONLY); }  // @open
static void open_cloexec(void) { open("/etc/passwd", O_RDONLY | O_CLOEXEC); }

static void exec_after_fork(int tracked) {
  pid_t child = fork();
  if (child == 0) {
    if (tracked) free(malloc(10));  // gives the child a ledger of its own
    if (tracked) close(open("/dev/null", O_RDONLY));
    execvp("true", kTrue);
    _exit(127);
  }
  waitpid(child, NULL, 0);
}
static void exec_after_vfork(void) {
  pid_t child = vfork();
  if (child == 0) {
    execvp("true", kTrue);
    _exit(127);
  }
  waitpid(child, NULL, 0);
}
static void spawn(posix_spawn_file_actions_t* actions) {
  pid_t child;
  if (posix_spawnp(&child, "true", actions, NULL, kTrue, environ) == 0) waitpid(child, NULL, 0);
}

/// Its child's child ends when its child has.
static void make_orphan(void) {
  siginfo_t about;
  int ends[2];
  if (pipe(ends) != 0) return;
  pid_t child = fork();
  if (child == 0) {
    if (fork() != 0) _exit(0);
    char byte;
    close(ends[1]);
    ssize_t got = read(ends[0], &byte, 1);
    _exit(got == 0 ? 0 : 1);
  }
  close(ends[0]);
  close(ends[1]);
  waitpid(child, NULL, 0);
  waitid(P_ALL, 0, &about, WEXITED | WNOWAIT);
}

int main(int count, char** arguments) {
  const char* name = count > 1 ? arguments[1] : "";
  if (!strcmp(name, "zombies")) {
    for (int i = 0; i < 3; ++i) start();
  } else if (!strcmp(name, "popen")) {
    FILE* stream = popen("exit 3", "r");
    char byte;
    while (fread(&byte, 1, 1, stream) == 1) {
    }
    usleep(100000);
  } else if (!strcmp(name, "collected")) {
    int status;
    waitpid(start(), NULL, 0);
    start();
    wait(&status);
    FILE* stream = popen("true", "r");
    pclose(stream);
    int (*volatile close_stream)(FILE*) = fclose;  // glibc's does as pclose; the compiler knows POSIX only
    close_stream(popen("true", "w"));
    spawn(NULL);
    status = system("true");
    for (int i = 0; i < 300; ++i) {  // collected by a handler, possibly before fork returns
      pid_t child = fork();
      if (child == 0) _exit(0);
      while (waitpid(-1, NULL, 0) > 0) {
      }
    }
  } else if (!strcmp(name, "ignored")) {
    signal(SIGCHLD, SIG_IGN);
    int children = count > 2 ? atoi(arguments[2]) : 3;
    for (int i = 0; i < children; ++i) {
      if (fork() == 0) _exit(0);
      if (i % 64 == 63 || i + 1 == children)
        while (wait(NULL) > 0) {
        }
    }
  } else if (!strcmp(name, "running")) {
    // As many as are asked for; they end with this process, a millisecond after each other.
    int children = count > 2 ? atoi(arguments[2]) : 1;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return 1;
    for (int i = 0; i < children; ++i) {
      if (fork() != 0) continue;
      char byte;
      close(ends[1]);
      ssize_t got = read(ends[0], &byte, 1);
      usleep((useconds_t)i * 1000);
      _exit(got == 0 ? 0 : 1);
    }
  } else if (!strcmp(name, "adopts")) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (count > 2) execv(arguments[0], (char*[]){arguments[0], arguments[2], NULL});
    make_orphan();
  } else if (!strcmp(name, "orphan")) {
    make_orphan();
  } else if (!strcmp(name, "raw")) {
#ifdef __x86_64__
    long child;
    __asm__ volatile("syscall" : "=a"(child) : "a"(SYS_fork) : "rcx", "r11", "memory");
    if (child == 0) _exit(0);
    wait_until_ended((pid_t)child);
  } else if (!strcmp(name, "raw_silent")) {
    // Two that end with this process, one of them without a signal.
    int ends[2];
    if (pipe(ends) != 0) return 1;
    for (long flags = 0; flags <= SIGCHLD; flags += SIGCHLD) {
      long child;
      register long none __asm__("r10") = 0;
      register long thread __asm__("r8") = 0;
      __asm__ volatile("syscall"
                       : "=a"(child)
                       : "a"(SYS_clone), "D"(flags), "S"(0), "d"(0), "r"(none), "r"(thread)
                       : "rcx", "r11", "memory");
      if (child != 0) continue;
      char byte;
      close(ends[1]);
      ssize_t got = read(ends[0], &byte, 1);
      _exit(got == 0 ? 0 : 1);
    }
    puts("ready");
    fflush(stdout);
    // Each report is made in a copy of this process, another child without a signal.
    struct pollfd input = {0, POLLIN, 0};
    while (poll(&input, 1, 0) == 0) unfreed_report(arguments[2]);
#endif
  } else if (!strcmp(name, "exec_leak")) {
    open_inheritable();
    for (int i = 2; i < count; ++i) {
      if (!strcmp(arguments[i], "fork")) exec_after_fork(0);
      if (!strcmp(arguments[i], "fork_tracked")) exec_after_fork(1);
      if (!strcmp(arguments[i], "vfork")) exec_after_vfork();
      if (!strcmp(arguments[i], "posix_spawnp")) spawn(NULL);
      if (!strcmp(arguments[i], "system") && system("true") != 0) return 1;
      if (!strcmp(arguments[i], "popen")) pclose(popen("true", "r"));
    }
  } else if (!strcmp(name, "no_exec_leak")) {
    open_cloexec();
    int fd = dup(0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addclose(&actions, fd);
    spawn(&actions);
    posix_spawn_file_actions_destroy(&actions);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    exec_after_fork(0);
    exec_after_fork(1);
    exec_after_vfork();
    spawn(NULL);
    if (system("true") != 0) return 1;
    // Calls that fail start nothing.
    open_inheritable();
    if (execvp("/nonexistent/program", kTrue) == 0 ||
        posix_spawn(NULL, "/nonexistent", NULL, NULL, kTrue, environ) == 0)
      return 1;
    close(3);
    close(4);
    close(5);
    pid_t child = fork();
    if (child == 0) {
      close(open("/dev/null", O_RDONLY));
      execvp("true", kTrue);
    }
    waitpid(child, NULL, 0);
  }
  return 0;
}
