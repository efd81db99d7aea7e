// Closes every descriptor up to its limit, as daemons do, then opens five files, which it keeps. The first three take
// the numbers of the standard streams, by accident: they count like the others.
#include <fcntl.h>
#include <unistd.h>

static int take(void) {
  return open("/etc/passwd", O_RDONLY);  // @take
}

int main(void) {
  int before[20];
  for (int i = 0; i < 20; i++) before[i] = open("/etc/group", O_RDONLY);
  long limit = sysconf(_SC_OPEN_MAX);
  if (limit > 4096) limit = 4096;
  for (int fd = 0; fd < limit; fd++) close(fd);
  if (close(before[0]) == 0) return 3;  // it is gone
  for (int i = 0; i < 5; i++)
    if (take() != i) return 4;  // the numbers are free: nobody else has them
  return 0;
}
