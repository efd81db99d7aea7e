// Closes every descriptor up to its limit, as daemons do, then opens one file, which it keeps. Says so through a
// descriptor kept aside on request: `close_all SECONDS` sleeps after that.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int take(void) {
  return open("/etc/passwd", O_RDONLY);  // @take
}

int main(int argc, char** argv) {
  int before[20];
  for (int i = 0; i < 20; i++) before[i] = open("/etc/group", O_RDONLY);
  long limit = sysconf(_SC_OPEN_MAX);
  if (limit > 4096) limit = 4096;
  for (int fd = 0; fd < limit; fd++) close(fd);
  if (close(before[0]) == 0) return 3;  // it is gone
  if (take() != 0) return 4;            // and the numbers are free
  if (argc > 1) sleep((unsigned)atoi(argv[1]));
  return 0;
}
