// Holds descriptors in the states that reports give hints about, says so, and waits to be ended.
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

/// Connections whose other end has been closed.
static void left_by_peers(int count) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  bind(listener, (struct sockaddr*)&address, size);
  getsockname(listener, (struct sockaddr*)&address, &size);
  listen(listener, count);
  for (int at = 0; at < count; ++at) {
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connect(peer, (struct sockaddr*)&address, size);
    int accepted = accept(listener, NULL, NULL);  // @accept
    close(peer);
    char byte;
    read(accepted, &byte, 1);  // returns 0 when the peer's end has arrived
  }
}

/// Eight files of 64 KiB, whose inodes' numbers follow one another on most file systems; the first is open twice.
static void deleted_files(void) {
  static char block[65536];
  for (int at = 0; at < 8; ++at) {
    int file = open("scratch", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);  // @deleted
    write(file, block, sizeof block);
    fsync(file);
    if (at == 0) dup(file);
    unlink("scratch");
  }
}

static void half_pipes(void) {
  int ends[2];
  pipe(ends);  // @reader
  close(ends[1]);
  pipe(ends);  // @writer
  close(ends[0]);
  pipe(ends);  // @whole
}

int main(void) {
  left_by_peers(5);
  deleted_files();
  half_pipes();
  uint64_t one = 1;
  write(eventfd(0, 0), &one, sizeof one);  // @unread
  eventfd(0, 0);                           // @idle
  flock(open("lock", O_RDWR | O_CREAT, 0600), LOCK_EX);  // @locked
  for (int at = 0; at < 15; ++at) open(at < 12 ? "/etc/hosts" : at < 14 ? "/etc/passwd" : "/etc/group", O_RDONLY);  // @same
  puts("ready");
  fflush(stdout);
  pause();
  return 0;
}
