// Streams own their descriptor: one resource each, whichever way it was opened.
//! leak: kind=fd live=2 by=fopen(64)? function=take line=@take target=/etc/passwd
//! leak: kind=fd live=1 by=(open(64)?|fdopen) function=main line=(@open|@fdopen)
//! clean:
#include <fcntl.h>
#include <stdio.h>

#include "planted.h"

static FILE* take(void) {
  return fopen("/etc/passwd", "r");  // @take
}

int main(int argc, char** argv) {
  FILE* files[2];
  for (int i = 0; i < 2; i++) files[i] = take();
  int fd = open("/etc/group", O_RDONLY);  // @open
  FILE* wrapped = fdopen(fd, "r");        // @fdopen
  if (leaking(argc, argv)) return 0;
  for (int i = 0; i < 2; i++) fclose(files[i]);
  fclose(wrapped);
  return 0;
}
