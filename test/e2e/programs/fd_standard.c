// Numbers 0 to 2 that the program has got after it closed the standard streams. fd_standard CASE; it ends without giving
// them back.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int load(void) {
  int fd;
  fd = open("/proc/uptime", O_RDONLY);  // @accident
  return fd;
}

int main(int count, char** words) {
  const char* what = count > 1 ? words[1] : "";
  close(0);
  if (!strcmp(what, "accident")) return load();
  if (!strcmp(what, "socket")) return socket(AF_UNIX, SOCK_STREAM, 0);
  // Put there on purpose.
  if (!strcmp(what, "null")) return open("/dev/null", O_RDONLY);
  if (!strcmp(what, "duplicate")) return dup(2);
  if (!strcmp(what, "redirect")) {
    int fd = open("/proc/uptime", O_RDONLY);  // 0 itself
    int other = open("/proc/uptime", O_RDONLY);
    if (dup2(other, fd) != fd) return 3;
    close(other);
    return 0;
  }
  if (!strcmp(what, "reopen")) return freopen("/proc/uptime", "r", stdin) ? 0 : 3;
  return 4;
}
