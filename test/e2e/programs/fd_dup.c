// Duplicates: by dup, by fcntl, and by dup2 onto a number that was open (which closes what was there).
//! leak: kind=fd live=1 by=dup function=main line=@dup
//! leak: kind=fd live=1 by=fcntl(64)? function=main line=@fcntl
//! leak: kind=fd live=1 by=dup2 function=main line=@dup2
//! clean:
#include <fcntl.h>

#include "planted.h"

int main(int argc, char** argv) {
  int first = open("/etc/passwd", O_RDONLY);
  int overwritten = open("/etc/group", O_RDONLY);
  int copy = dup(first);                                  // @dup
  int high = fcntl(first, F_DUPFD_CLOEXEC, 50);           // @fcntl
  if (dup2(first, overwritten) != overwritten) return 1;  // @dup2
  close(first);
  if (leaking(argc, argv)) return 0;
  close(copy);
  close(high);
  close(overwritten);
  return 0;
}
