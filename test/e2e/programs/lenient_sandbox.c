// Restricts its own system calls by a filter that allows nearly all of them, and holds what it opened past libc before
// that (3, of which it closes one later) and after it (1), and in libc (1).
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sock_filter calls[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_swapon, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
static struct sock_fprog program = {sizeof calls / sizeof calls[0], calls};

static int take_past_libc(void) {
#ifdef __x86_64__
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(SYS_openat), "D"((long)AT_FDCWD), "S"("/etc/passwd"), "d"(0L)
                   : "rcx", "r11", "memory");
  return (int)result;
#else
  register long number __asm__("x8") = SYS_openat;
  register long result __asm__("x0") = AT_FDCWD;
  register long path __asm__("x1") = (long)"/etc/passwd";
  register long flags __asm__("x2") = 0;
  __asm__ volatile("svc #0" : "+r"(result) : "r"(number), "r"(path), "r"(flags) : "memory");
  return (int)result;
#endif
}

int main(void) {
  int last = -1;
  for (int i = 0; i < 3; i++) last = take_past_libc();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 1;
  close(last);
  take_past_libc();
  open("/etc/passwd", O_RDONLY);
  puts("end");
  return 0;
}
