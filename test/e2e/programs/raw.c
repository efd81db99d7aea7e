// Opens a file by a system call that no hooked function watches, and closes another behind every hooked function's back: the report must
// still have the kernel's count.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

static long raw(long number, long a, long b, long c, long d) {
  register long r10 __asm__("r10") = d;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}

int main(void) {
  int kept = open("/etc/passwd", O_RDONLY);  // @kept
  int gone = open("/etc/group", O_RDONLY);
  long unseen = raw(SYS_openat, AT_FDCWD, (long)"/etc/hosts", O_RDONLY, 0);
  raw(SYS_close, gone, 0, 0, 0);  // last, or its number would be taken again
  return kept < 0 || unseen < 0;
}
