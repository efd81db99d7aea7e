// What the twins need around the call that they are about: other ends of connections, messages with descriptors in
// them, checks that a call went well. None of it outlives the twin.
#pragma once

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "hook/libc_functions.h"
#include "hook/liburing_layout.h"

// Not in every process: the pairs of those that are not there are unavailable.
#define WEAK_required(symbol)
#define WEAK_optional(symbol) extern "C" __attribute__((weak)) decltype(::symbol) symbol;
#define HOOK(symbol, shown, family, presence) WEAK_##presence(symbol)
#include "hook/hooks.inc"
#undef HOOK
// libc has it for old programs only, which ask for the version.
#ifdef __aarch64__
asm(".symver cfree, cfree@GLIBC_2.17");
#else
asm(".symver cfree, cfree@GLIBC_2.2.5");
#endif

#if defined(_FILE_OFFSET_BITS) && _FILE_OFFSET_BITS == 64
#define L(name) name "64"
constexpr const char* kFtsOpen = "fts64_open";
#else
#define L(name) name
constexpr const char* kFtsOpen = "fts_open";
#endif

inline const char* g_current = "";
inline const char* volatile kFile = "/dev/null";
inline volatile int kRead =
    O_RDONLY;  ///< not known to the compiler, so that fortified builds call the checking variants

/// Says that this machine does not offer the current hooked function.
inline void unavailable(int error) {
  printf("unavailable %s: %s\n", g_current, strerror(error));
  fflush(stdout);
}
/// For calls that return −1 and set errno.
inline long good(long result) {
  if (result < 0) unavailable(errno);
  return result;
}
/// For calls that return an error number.
inline int done(int error) {
  if (error) unavailable(error);
  return error;
}
template <class Type>
Type* good(Type* pointer) {
  if (!pointer) unavailable(errno);
  return pointer;
}
/// The result of mmap or mremap.
inline void* mapped(void* result) {
  if (result == MAP_FAILED) unavailable(errno);
  return result;
}
/// A descriptor's number.
inline int fd_of(long result) { return static_cast<int>(good(result)); }
/// The compiler may not think that this value is unused.
template <class Type>
void use(Type value) {
  asm volatile("" : : "g"(value) : "memory");
}

/// Closes what it holds at the end of the twin.
struct Held {
  explicit Held(long descriptor) : fd(fd_of(descriptor)) {}
  ~Held() { close(fd); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  int fd;
};

/// For liburing's functions, which return -errno.
inline int ringed(long result) {
  if (result < 0) unavailable(static_cast<int>(-result));
  return static_cast<int>(result);
}
/// A ring that is gone at the end of the twin, and one request to open a file.
struct Ring {
  Ring() : works(ringed(io_uring_queue_init(4, get(), 0)) >= 0) {}
  ~Ring() {
    if (works) io_uring_queue_exit(get());
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  io_uring* get() { return reinterpret_cast<io_uring*>(&layout); }
  /// The next call will submit it.
  io_uring* opening() {
    constexpr unsigned char kOpenAt = 18;
    std::byte* entry = layout.sq.sqes + 64 * (layout.sq.end++ & *layout.sq.mask);
    int directory = AT_FDCWD;
    memset(entry, 0, 64);
    memcpy(entry, &kOpenAt, sizeof kOpenAt);
    memcpy(entry + 4, &directory, sizeof directory);
    memcpy(entry + 16, const_cast<const char**>(&kFile), sizeof kFile);
    return get();
  }
  int result() {
    while (works && *layout.cq.head == __atomic_load_n(layout.cq.tail, __ATOMIC_ACQUIRE)) sched_yield();
    int opened = -1;
    if (works) memcpy(&opened, layout.cq.cqes + 16 * (*layout.cq.head & *layout.cq.mask) + 8, sizeof opened);
    if (works) __atomic_store_n(layout.cq.head, *layout.cq.head + 1, __ATOMIC_RELEASE);
    return opened;
  }
  unfreed::hook::LiburingRing layout = {};
  bool works;
};

/// A segment of shared memory that is gone at the end of the twin, by a system call that no hook sees.
struct Segment {
  Segment() : number(static_cast<int>(good(syscall(SYS_shmget, IPC_PRIVATE, 4096L, IPC_CREAT | 0600)))) {}
  explicit Segment(long made) : number(static_cast<int>(made)) {}
  ~Segment() {
    if (number >= 0) syscall(SYS_shmctl, number, IPC_RMID, nullptr);
  }
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  int release() {
    int released = number;
    number = -1;
    return released;
  }
  int number;
};

/// A listening socket that somebody has connected to.
struct Listener {
  Listener() {
    sockaddr_un address{AF_UNIX, ""};
    socklen_t bytes = sizeof(sa_family_t);  // the kernel chooses a name
    if (bind(server.fd, reinterpret_cast<sockaddr*>(&address), bytes) || listen(server.fd, 1)) unavailable(errno);
    bytes = sizeof address;
    getsockname(server.fd, reinterpret_cast<sockaddr*>(&address), &bytes);
    good(connect(client.fd, reinterpret_cast<sockaddr*>(&address), bytes));
  }
  Held server{socket(AF_UNIX, SOCK_STREAM, 0)};
  Held client{socket(AF_UNIX, SOCK_STREAM, 0)};
};

/// A fanotify descriptor with an event to be read: a file beside has been opened.
struct Events {
  Events() : fd(static_cast<int>(good(fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK, O_RDONLY)))) {
    Held file(open("watched", O_CREAT | O_RDWR, 0600));
    if (fd >= 0) good(fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "watched"));
    close(open("watched", O_RDONLY));
  }
  ~Events() { close(fd); }
  int descriptor() const { return reinterpret_cast<const fanotify_event_metadata*>(buffer)->fd; }
  int fd;
  alignas(8) char buffer[24];  // room for one event
};

/// A message with `count` descriptors in it, ready to be received.
struct Message {
  explicit Message(int count) {
    int ends[2];
    good(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    sender = ends[0];
    receiver = ends[1];
    prepare(count);
    header.msg_controllen = CMSG_SPACE(sizeof(int) * static_cast<size_t>(count));
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * static_cast<size_t>(count));
    for (int i = 0; i < count; ++i)
      memcpy(CMSG_DATA(part) + sizeof(int) * static_cast<size_t>(i), &sender, sizeof sender);
    good(sendmsg(sender, &header, 0));
    prepare(count);
    header.msg_controllen = sizeof control;
  }
  ~Message() {
    close(sender);
    close(receiver);
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  void prepare(int) {
    memset(&header, 0, sizeof header);
    memset(control, 0, sizeof control);
    header.msg_iov = &part_;
    header.msg_iovlen = 1;
    header.msg_control = control;
  }
  /// The `index`th descriptor that has arrived.
  int arrived(size_t index) {
    int fd = -1;
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    if (part) memcpy(&fd, CMSG_DATA(part) + sizeof(int) * index, sizeof fd);
    return fd;
  }
  int sender = -1, receiver = -1;
  msghdr header;

 private:
  char byte_ = 'x';
  iovec part_{&byte_, 1};
  alignas(cmsghdr) char control[256];
};

/// The same for recvmmsg.
struct Messages : Message {
  explicit Messages(int count) : Message(count) { many.msg_hdr = header; }
  void taken() { header = many.msg_hdr; }
  mmsghdr many{};
};

/// A file handle of the working directory.
struct Handle {
  Handle() {
    get()->handle_bytes = MAX_HANDLE_SZ;
    int mount;
    supported = name_to_handle_at(AT_FDCWD, ".", get(), &mount, 0) == 0;
    if (!supported) unavailable(errno);
  }
  file_handle* get() { return reinterpret_cast<file_handle*>(room); }
  bool supported;
  alignas(file_handle) char room[sizeof(file_handle) + MAX_HANDLE_SZ];
};

/// A queue's name, gone from the file system at the end.
struct QueueName {
  QueueName() { snprintf(text, sizeof text, "/unfreed-twin-%d", getpid()); }
  ~QueueName() { mq_unlink(text); }
  char text[64];
};
inline mq_attr small_queue() {
  mq_attr attributes{};
  attributes.mq_maxmsg = 1;
  attributes.mq_msgsize = 8;
  return attributes;
}
struct SharedName : QueueName {
  ~SharedName() { shm_unlink(text); }
};

/// A template for mkstemp and its like; removes the file.
struct TemporaryName {
  explicit TemporaryName(const char* suffix = "") { snprintf(text, sizeof text, "twin-XXXXXX%s", suffix); }
  ~TemporaryName() { unlink(text); }
  char text[64];
};

inline const NothrowTag& nothrow_tag() {
  static const char tag = 0;
  return reinterpret_cast<const NothrowTag&>(tag);
}

inline void* nothing(void* argument) { return argument; }
inline int nothing_c11(void*) { return 0; }

/// Until the process has one thread again: what has been left behind is then finished, not running.
inline void wait_for_threads() {
  for (int i = 0; i < 2000; ++i) {
    int tasks = 0;
    DIR* folder = opendir("/proc/self/task");
    while (readdir(folder)) ++tasks;
    closedir(folder);
    if (tasks == 3) return;  // ".", ".." and this one
    usleep(1000);
  }
}
inline timespec far_away(clockid_t clock) {
  timespec when;
  clock_gettime(clock, &when);
  when.tv_sec += 60;
  return when;
}
inline void reap() {
  while (wait(nullptr) > 0) {
  }
}

/// In the child of a fork: ends it. In the parent: waits until it has ended, without collecting it.
inline pid_t ended(pid_t child) {
  if (child == 0) _exit(0);
  siginfo_t about;
  if (good(child) > 0) waitid(P_PID, (id_t)child, &about, WEXITED | WNOWAIT);
  return child;
}
inline void collect(pid_t child) { waitpid(child, nullptr, 0); }
inline int end_at_once(void*) { return 0; }
inline void* stack_for_clone() {
  alignas(16) static char stack[16384];
  return stack + sizeof stack;
}

inline char kDot[] = ".";
inline char* kDots[] = {kDot, nullptr};
inline char kTrue[] = "/bin/true";
inline char* kTrueArguments[] = {kTrue, nullptr};

/// The beginning of io_uring's, bpf's and clone3's parameter blocks; the rest is zero.
struct Parameters {
  template <class... Values>
  explicit Parameters(Values... values) : words{(uint64_t)values...} {}
  uint64_t words[32];
};
