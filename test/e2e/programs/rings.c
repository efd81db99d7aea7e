// Descriptors that io_uring makes and closes. Built with liburing, or with -DOWN without it: a ring that is operated by
// syscall(). Says "unavailable" where the kernel or a filter has no io_uring.
//
//   rings open       opens one file, and keeps it          rings batch    forty, in one submission, with one user_data
//   rings close      closes it through the ring            rings link     a link of open and close that closes another
//   rings accept     one request accepts three             rings fixed    into the ring's own table: no descriptor
//   rings late       the result is there after the call    rings fail     of two requests one fails
//   rings socket     makes a socket                        rings fork     the child does
//   rings unmapped   the ring's memory is gone by the end  rings same      others have the same user_data
// With liburing only:
//   rings twice      ends the ring twice                   rings dontfork a child ends it, in which its memory is
//   missing rings strict     ends it where fcntl is fatal (seccomp)
//   rings waiting N  opens one while N requests wait       rings many N   opens one while N other rings wait
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#ifndef OWN
#include <liburing.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#endif

enum { kEntries = 64, kOpSocket = 45 };
static const char* const kFile = "/etc/passwd";

static void unavailable(void) {
  puts("unavailable");
  exit(0);
}

#ifdef OWN
static struct {
  int fd;
  unsigned *sq_tail, *sq_mask, *array, *cq_head, *cq_tail, *cq_mask, unsent;
  struct io_uring_sqe* sqes;
  struct io_uring_cqe* cqes;
  void *memory, *entries;
  size_t bytes;
} ring;

static void begin(void) {
  struct io_uring_params made;
  memset(&made, 0, sizeof made);
  ring.fd = (int)syscall(SYS_io_uring_setup, kEntries, &made);
  if (ring.fd < 0) unavailable();
  ring.bytes = made.cq_off.cqes + made.cq_entries * sizeof *ring.cqes;
  size_t other = made.sq_off.array + made.sq_entries * sizeof *ring.array;
  if (other > ring.bytes) ring.bytes = other;
  char* start = mmap(NULL, ring.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQ_RING);
  ring.memory = start;
  ring.sqes = ring.entries =
      mmap(NULL, made.sq_entries * sizeof *ring.sqes, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQES);
  ring.sq_tail = (unsigned*)(start + made.sq_off.tail);
  ring.sq_mask = (unsigned*)(start + made.sq_off.ring_mask);
  ring.array = (unsigned*)(start + made.sq_off.array);
  ring.cq_head = (unsigned*)(start + made.cq_off.head);
  ring.cq_tail = (unsigned*)(start + made.cq_off.tail);
  ring.cq_mask = (unsigned*)(start + made.cq_off.ring_mask);
  ring.cqes = (struct io_uring_cqe*)(start + made.cq_off.cqes);
}
static struct io_uring_sqe* request(int opcode) {
  unsigned index = *ring.sq_tail & *ring.sq_mask;
  struct io_uring_sqe* entry = &ring.sqes[index];
  memset(entry, 0, sizeof *entry);
  entry->opcode = (uint8_t)opcode;
  ring.array[index] = index;
  __atomic_store_n(ring.sq_tail, *ring.sq_tail + 1, __ATOMIC_RELEASE);
  ++ring.unsent;
  return entry;
}
__attribute__((noinline)) static void submit(void) {
  if (syscall(SYS_io_uring_enter, ring.fd, ring.unsent, 0, 0, NULL, 0) < 0) exit(3);  // @submit
  ring.unsent = 0;
}
static int result(void) {
  while (*ring.cq_head == __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE))
    if (syscall(SYS_io_uring_enter, ring.fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) exit(3);
  int value = ring.cqes[*ring.cq_head & *ring.cq_mask].res;
  __atomic_store_n(ring.cq_head, *ring.cq_head + 1, __ATOMIC_RELEASE);
  return value;
}
static void table(void) {
  int none[4] = {-1, -1, -1, -1};
  if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, none, 4) < 0) unavailable();
}
static void end(void) {
  munmap(ring.memory, ring.bytes);
  munmap(ring.entries, kEntries * sizeof *ring.sqes);
  close(ring.fd);
}
#else
static struct io_uring ring;
static void begin(void) {
  if (io_uring_queue_init(kEntries, &ring, 0) < 0) unavailable();
}
static struct io_uring_sqe* request(int opcode) {
  struct io_uring_sqe* entry = io_uring_get_sqe(&ring);
  memset(entry, 0, sizeof *entry);
  entry->opcode = (uint8_t)opcode;
  return entry;
}
__attribute__((noinline)) static void submit(void) {
  if (io_uring_submit(&ring) < 0) exit(3);  // @liburing
}
static int result(void) {
  struct io_uring_cqe* completion;
  if (io_uring_wait_cqe(&ring, &completion)) exit(3);
  int value = completion->res;
  io_uring_cqe_seen(&ring, completion);
  return value;
}
static void table(void) {
  int none[4] = {-1, -1, -1, -1};
  if (io_uring_register_files(&ring, none, 4) < 0) unavailable();
}
static void end(void) { io_uring_queue_exit(&ring); }

static void forbid_fcntl(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = {4, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) unavailable();
}
static int listening(void) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || listen(listener, 1)) exit(2);
  return listener;
}
/* Requests that wait for as long as nobody connects. */
static void wait_in(struct io_uring* with, int listener, int count) {
  for (int i = 0; i < count; ++i) {
    struct io_uring_sqe* entry = io_uring_get_sqe(with);
    if (!entry && io_uring_submit(with) >= 0) entry = io_uring_get_sqe(with);
    if (!entry) exit(3);
    io_uring_prep_accept(entry, listener, NULL, NULL, 0);
    entry->user_data = (uint64_t)i + 1;
  }
  if (io_uring_submit(with) < 0) exit(3);
}
static void wait_in_rings(int count) {
  int listener = listening();
  for (int i = 0; i < count; ++i) {
    static struct io_uring more[100];
    if (io_uring_queue_init(4, &more[i], 0) < 0) unavailable();
    wait_in(&more[i], listener, 1);
    close(more[i].ring_fd); /* it lives on in its memory */
  }
  close(listener);
}
static void in_child(void) {
  io_uring_ring_dontfork(&ring);
  int status = 1;
  if (fork() == 0) {
    end();
    _exit(0);
  }
  if (wait(&status) < 0 || status) exit(4);
}
#endif

static struct io_uring_sqe* open_request(const char* path) {
  struct io_uring_sqe* entry = request(IORING_OP_OPENAT);
  entry->fd = AT_FDCWD;
  entry->addr = (uintptr_t)path;
  entry->open_flags = O_RDONLY;
  return entry;
}
static struct io_uring_sqe* close_request(int fd) {
  struct io_uring_sqe* entry = request(IORING_OP_CLOSE);
  entry->fd = fd;
  return entry;
}
static int opened(void) {
  open_request(kFile);
  submit();
  int fd = result();
  if (fd < 0) unavailable();
  return fd;
}

static void accept_three(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t bytes = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0), clients[3];
  if (bind(listener, (struct sockaddr*)&address, bytes) || listen(listener, 3)) exit(2);
  getsockname(listener, (struct sockaddr*)&address, &bytes);
  struct io_uring_sqe* entry = request(IORING_OP_ACCEPT);
  entry->fd = listener;
  entry->ioprio = IORING_ACCEPT_MULTISHOT;
  submit();
  for (int i = 0; i < 3; ++i) {
    clients[i] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(clients[i], (struct sockaddr*)&address, bytes)) exit(2);
    if (result() < 0) unavailable();
  }
  for (int i = 0; i < 3; ++i) close(clients[i]);
  close(listener);
}

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "";
  begin();
  if (!strcmp(what, "open")) {
    opened();
  } else if (!strcmp(what, "batch")) {
    for (int i = 0; i < 40; ++i) open_request(kFile);
    submit();
    for (int i = 0; i < 40; ++i)
      if (result() < 0) return 2;
  } else if (!strcmp(what, "same")) {
    request(IORING_OP_NOP);
    open_request(kFile);
    request(IORING_OP_NOP);
    open_request(kFile)->flags = IOSQE_ASYNC;
    submit();
    for (int i = 0; i < 4; ++i)
      if (result() < 0) return 2;
  } else if (!strcmp(what, "close")) {
    close_request(opened());
    submit();
    if (result()) return 2;
    if (open(kFile, O_RDONLY) < 0) return 2;  // @reopened
  } else if (!strcmp(what, "link")) {
    int first = opened();
    open_request(kFile)->flags = IOSQE_IO_LINK;
    close_request(first);
    submit();
    if (result() < 0 || result() < 0) return 2;
  } else if (!strcmp(what, "accept")) {
    accept_three();
  } else if (!strcmp(what, "fixed")) {
    table();
    open_request(kFile)->file_index = 1;
    submit();
    if (result() < 0) unavailable();
    close_request(0)->file_index = 1;
    submit();
    if (result() < 0) return 2;
  } else if (!strcmp(what, "late")) {
    open_request(kFile)->flags = IOSQE_ASYNC;
    submit();
    if (result() < 0) return 2;
  } else if (!strcmp(what, "fail")) {
    open_request("/nonexistent");
    open_request(kFile);
    submit();
    if ((result() < 0) == (result() < 0)) return 2;
  } else if (!strcmp(what, "socket")) {
    struct io_uring_sqe* entry = request(kOpSocket);
    entry->fd = AF_INET;
    entry->off = SOCK_STREAM;
    submit();
    if (result() < 0) unavailable();
  } else if (!strcmp(what, "fork")) {
    open_request(kFile)->flags = IOSQE_ASYNC;
    submit();
    if (fork() == 0) _exit(open(kFile, O_RDONLY) < 0);  // @child
    wait(NULL);
    if (result() < 0) return 2;
  } else if (!strcmp(what, "unmapped")) {
    open_request(kFile)->flags = IOSQE_ASYNC;
    submit();
    if (result() < 0) return 2;
    open_request(kFile)->flags = IOSQE_ASYNC;
    submit();
#ifdef OWN
    syscall(SYS_munmap, ring.memory, ring.bytes);
    syscall(SYS_munmap, ring.entries, kEntries * sizeof *ring.sqes);
#endif
    return 0;
#ifndef OWN
  } else if (!strcmp(what, "twice")) {
    opened();
    end();
  } else if (!strcmp(what, "dontfork")) {
    opened();
    in_child();
  } else if (!strcmp(what, "strict")) {
    forbid_fcntl();
  } else if (!strcmp(what, "waiting")) {
    int listener = listening();
    wait_in(&ring, listener, atoi(argv[2]));
    opened();
    close(listener);
  } else if (!strcmp(what, "many")) {
    wait_in_rings(atoi(argv[2]));
    opened();
#endif
  } else {
    return 2;
  }
  end();
  return 0;
}
