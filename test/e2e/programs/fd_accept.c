// A server's accepted connections; its listening socket and its clients are closed in time.
//! leak: kind=fd live=3 by=accept4? function=serve line=@accept target=*tcp*127.0.0.1*
//! clean:
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "planted.h"

static int serve(int listener) {
  return accept(listener, NULL, NULL);  // @accept
}

int main(int argc, char** argv) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr*)&address, size) || listen(listener, 8)) return 1;
  getsockname(listener, (struct sockaddr*)&address, &size);
  for (int i = 0; i < 3; i++) {
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr*)&address, size)) return 1;
    int served = serve(listener);
    close(client);
    if (!leaking(argc, argv)) close(served);
  }
  close(listener);
  return 0;
}
