// Runs a program in which the kernel refuses some system calls: refused NAME[,NAME…] PROGRAM [ARGUMENT…]
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
  const char* name;
  unsigned number;
} kCalls[] = {{"fcntl", SYS_fcntl},         {"getdents64", SYS_getdents64}, {"readlinkat", SYS_readlinkat},
              {"prlimit64", SYS_prlimit64}, {"waitid", SYS_waitid},         {"clone", SYS_clone}};

int main(int argc, char** argv) {
  struct sock_filter filter[32] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  unsigned short count = 1;
  if (argc < 3) return 2;
  for (char* name = strtok(argv[1], ","); name; name = strtok(NULL, ","))
    for (size_t i = 0; i < sizeof kCalls / sizeof *kCalls; i++)
      if (!strcmp(name, kCalls[i].name)) {
        filter[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kCalls[i].number, 0, 1);
        filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
      }
  filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {count, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 2;
  execv(argv[2], argv + 2);
  perror(argv[2]);
  return 2;
}
