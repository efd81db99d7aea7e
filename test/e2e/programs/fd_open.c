// Descriptors from open(), two from one line and one from another.
//! leak: kind=fd live=2 total=2 by=open(64)? function=take line=@take target=/etc/passwd
//! leak: kind=fd live=1 by=openat(64)? function=main line=@main target=/etc
//! clean:
#include <fcntl.h>

#include "planted.h"

static int take(void) {
  return open("/etc/passwd", O_RDONLY);  // @take
}

int main(int argc, char** argv) {
  int fds[3];
  for (int i = 0; i < 2; i++) fds[i] = take();
  fds[2] = openat(AT_FDCWD, "/etc", O_RDONLY | O_DIRECTORY);  // @main
  if (leaking(argc, argv)) return 0;
  for (int i = 0; i < 3; i++) close(fds[i]);
  return 0;
}
