// Holds descriptors of several kinds, and says which: built statically, it can only be traced.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void log_line(int number) {
  FILE* file = fopen("/dev/null", "a");  // @logged
  if (number % 2) fclose(file);
}

static void receive(void) {
  int ends[2];
  char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  socketpair(AF_UNIX, SOCK_DGRAM, 0, ends);
  struct cmsghdr* part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(part), &ends[0], sizeof(int));
  sendmsg(ends[0], &message, 0);
  recvmsg(ends[1], &message, 0);  // @received
  close(ends[0]);
  close(ends[1]);
}

static void list_open(void) {
  DIR* folder = opendir("/proc/self/fd");
  for (struct dirent* entry; (entry = readdir(folder));)
    if (atoi(entry->d_name) > 2 && atoi(entry->d_name) != dirfd(folder)) printf("%s\n", entry->d_name);
  closedir(folder);
}

int main(int count, char** arguments) {
  for (int number = 0; number < 10; ++number) log_line(number);
  receive();
  int copy = dup(eventfd(0, 0));
  dup2(copy, 40);
  fcntl(copy, F_DUPFD_CLOEXEC, 50);
  close(copy);
  if (close(copy) == 0) return 1;  // @twice
  epoll_create1(EPOLL_CLOEXEC);
  for (int number = 60; number < 64; ++number) dup2(0, number);
  syscall(SYS_close_range, 61, 63, 0);  // musl has no function for it
  pid_t left = fork();  // @forked
  if (left == 0) _exit(0);
  siginfo_t end;
  waitid(P_PID, left, &end, WEXITED | WNOWAIT);  // it has ended, and stays to be waited for
  pid_t waited_for = fork();
  if (waited_for == 0) _exit(0);
  waitpid(waited_for, NULL, 0);
  list_open();
  fflush(stdout);
  if (count > 2) raise(atoi(arguments[2]));
  return count > 1 ? atoi(arguments[1]) : 0;
}
