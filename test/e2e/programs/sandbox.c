// Programs that restrict their own system calls: `sandbox WAY LEDGERS`. Each holds a descriptor from before and a block
// from within, and prints what it does.
//   strict   mode 1: only read, write and the end of the thread
//   filter   by prctl: a list of calls, death for all others
//   number   the same by seccomp(2), through syscall()
//   inline   by a system call instruction of its own: a list of calls that are death, all others are allowed
//   listed   the same, and all calls but a few are death
//   alone    mode 1, by a system call instruction of its own
//   within   a harmless filter, then `inline` in a new image of the process, which starts with that filter
//   refused  a filter that the kernel refuses: everything goes on as before
//   fork     a filter, then a child
//   filter-raw `filter`, after three opens past libc, of which one is closed after it
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
static struct sock_filter calls[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    ALLOW(read),
    ALLOW(write),
    ALLOW(openat),
    ALLOW(close),
    ALLOW(brk),
    ALLOW(exit_group),
    ALLOW(clone),
    ALLOW(wait4),
    ALLOW(newfstatat),
    ALLOW(set_robust_list),
    ALLOW(rt_sigprocmask),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};
#define KILL(name) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
static struct sock_filter denied_calls[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    KILL(mmap),
    KILL(madvise),
    KILL(clone),
    KILL(execve),
    KILL(getdents64),
    KILL(readlinkat),
    KILL(process_vm_readv),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
static struct sock_fprog denied = {sizeof denied_calls / sizeof denied_calls[0], denied_calls};
static struct sock_fprog harmless = {1, &denied_calls[sizeof denied_calls / sizeof denied_calls[0] - 1]};

static long inline_call(long number, long first, long second, const void* third) {
#ifdef __x86_64__
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(first), "S"(second), "d"(third)
                   : "rcx", "r11", "memory");
  return result;
#else
  return syscall(number, first, second, third);
#endif
}

static struct sock_fprog program = {sizeof calls / sizeof calls[0], calls};

static int take(void) {
  return open("/etc/passwd", O_RDONLY);  // @take
}
static int take_past_libc(void) { return inline_call(SYS_openat, AT_FDCWD, (long)"/etc/passwd", NULL); }
static void* volatile block;
static void tell(const char* text) {
  if (write(1, text, strlen(text)) < 0) _exit(9);
}

int main(int argc, char** argv) {
  const char* way = argc > 1 ? argv[1] : "";
  take();
  free(malloc(10000));  // room, so that malloc can do without the kernel
  if (!strcmp(way, "within")) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &harmless);
    execl(argv[0], argv[0], "inline", NULL);
  }
  bool is_raw = !strcmp(way, "filter-raw");
  int last = -1;
  for (int i = 0; is_raw && i < 3; i++) last = take_past_libc();
  bool is_strict = !strcmp(way, "strict") || !strcmp(way, "alone");
  if (strcmp(way, "refused") && strcmp(way, "alone")) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  long result = -1;
  if (!strcmp(way, "strict"))
    result = prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
  else if (!strcmp(way, "number"))
    result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
  else if (!strcmp(way, "inline"))
    result = inline_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &denied);
  else if (!strcmp(way, "listed"))
    result = inline_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
  else if (is_strict)
    result = inline_call(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL);
  else if (!strcmp(way, "refused"))
    result = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL);
  else
    result = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
  tell(result ? "open\n" : "inside\n");
  for (int i = 0; i < 2000; i++) free(malloc(100));
  block = malloc(1000);
  if (is_raw) close(last);
  if (!is_strict) {
    for (int i = 0; i < 50; i++) close(take());
    take();
  }
  if (!strcmp(way, "fork")) {
    pid_t child = fork();
    if (child == 0) {
      take();
      tell("child\n");
      _exit(3);
    }
    int status = 0;
    waitpid(child, &status, 0);
    tell(WIFEXITED(status) && WEXITSTATUS(status) == 3 ? "child ended\n" : "child died\n");
  }
  tell("end\n");
  if (is_strict) syscall(SYS_exit, 0);
  return 0;
}
