// self_exec TIMES FOLDER: executes itself that many times, then lists what is in a folder for ledgers and below, one path a
// line, and ends with a descriptor that it has lost.
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int print(const char* path, const struct stat* status, int type, struct FTW* where) {
  (void)status, (void)where;
  if (type == FTW_F) puts(path);
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  int left = atoi(argv[1]);
  open("/etc/passwd", O_RDONLY | O_CLOEXEC);  // @take
  if (left == 0) return nftw(argv[2], print, 8, FTW_PHYS);
  char times[16];
  snprintf(times, sizeof times, "%d", left - 1);
  execl(argv[0], argv[0], times, argv[2], (char*)NULL);
  return 1;
}
