// Takes descriptors of every sort that can be named, and is killed, so that nobody can ask the kernel about them.
// killed FOLDER: somewhere to make files.
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in here = {AF_INET, 0, {0}, {0}};
static socklen_t bytes = sizeof here;

static int listener(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, (struct sockaddr*)&here, sizeof here) || listen(fd, 5)) exit(3);
  if (getsockname(fd, (struct sockaddr*)&here, &bytes)) exit(3);
  return fd;
}
static int client(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  return connect(fd, (struct sockaddr*)&here, sizeof here) ? -1 : fd;
}

int main(int count, char** words) {
  if (count < 2 || chdir(words[1])) return 3;
  int failed = open("/proc/uptime", O_RDONLY) < 0;
  failed += openat(AT_FDCWD, "made", O_RDWR | O_CREAT, 0600) < 0;
  failed += fopen("/proc/loadavg", "r") == NULL;
  failed += opendir("/proc/self") == NULL;
  failed += dup(3) < 0;
  char name[] = "temporary.XXXXXX";
  failed += mkstemp(name) < 0;
  char deep[400] = "./", *end = deep + 2;
  for (int i = 0; i < 120; ++i) end += sprintf(end, "./");
  strcpy(end, "made");
  failed += open(deep, O_RDONLY) < 0;
  int listening = listener(), calling = client();
  struct sockaddr_in peer;
  bytes = sizeof peer;
  failed += calling < 0 || accept(listening, (struct sockaddr*)&peer, &bytes) < 0;
  // What was closed is not what is there now.
  int reused = open("/proc/version", O_RDONLY);
  close(reused);
  int ends[2];
  failed += pipe(ends) != 0;
  printf("%s %d %d\n", name, ntohs(here.sin_port), ntohs(peer.sin_port));
  fflush(stdout);
  if (!failed) kill(getpid(), SIGKILL);
  return 4;
}
