// Sockets: one never bound, and a connected pair.
//! leak: kind=fd live=1 by=socket function=main line=@socket
//! leak: kind=fd live=2 by=socketpair function=main line=@pair
//! clean:
#include <sys/socket.h>

#include "planted.h"

int main(int argc, char** argv) {
  int pair[2];
  int lone = socket(AF_INET, SOCK_STREAM, 0);               // @socket
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return 1;  // @pair
  if (leaking(argc, argv)) return 0;
  close(lone);
  close(pair[0]);
  close(pair[1]);
  return 0;
}
