// Threads open, duplicate, replace, hand over and close descriptors as fast as they can, so that numbers go from one to
// the other; in the second half the process forks now and then. Each process says in the end what it holds:
//   parent|child PID held OWN inherited OTHERS
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cstring>

#include "stress_support.h"

namespace {

constexpr int kMostHeld = 40;  ///< per thread
std::atomic<bool> g_stop;
std::atomic<long> g_held, g_operations;

/// A descriptor, and the stream that owns it if there is one.
struct Held {
  int fd;
  FILE* file;
  DIR* folder;
};

class Worker {
 public:
  explicit Worker(unsigned seed) : random_(seed) {}
  void run() {
    while (!g_stop.load(std::memory_order_relaxed)) {
      if (count_ == 0 || (count_ < kMostHeld - 2 && random_.below(2)))
        take();
      else
        random_.below(3) ? give_back(random_.below(count_)) : replace(random_.below(count_));
      ++operations_;
    }
    g_held += count_;
    g_operations += operations_;
  }

 private:
  void keep(int fd, FILE* file = nullptr, DIR* folder = nullptr) {
    if (fd < 0) fail("a descriptor could not be had");
    held_[count_++] = {fd, file, folder};
  }
  int any() { return count_ ? held_[random_.below(count_)].fd : 0; }

  void take() {
    int pair[2];
    switch (random_.below(14)) {
      case 0:
        return keep(open("/dev/null", O_RDONLY));
      case 1:
        return keep(openat(AT_FDCWD, "/dev/zero", O_RDONLY | O_CLOEXEC));
      case 2:
        return keep(dup(any()));
      case 3:
        return keep(fcntl(any(), F_DUPFD, 3));
      case 4:
        return keep(fcntl(any(), F_DUPFD_CLOEXEC, 3));
      case 5:
        return keep(eventfd(0, 0));
      case 6:
        return keep(static_cast<int>(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY, 0)));
      case 7:
        if (pipe(pair)) fail("pipe");
        keep(pair[0]);
        return keep(pair[1]);
      case 8:
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) fail("socketpair");
        keep(pair[0]);
        return keep(pair[1]);
      case 9: {
        FILE* file = fopen("/dev/null", "r");
        return keep(fileno(file), file);
      }
      case 10: {
        FILE* file = fdopen(open("/dev/null", O_RDONLY), "r");
        return keep(fileno(file), file);
      }
      case 11: {
        DIR* folder = opendir("/");
        return keep(dirfd(folder), nullptr, folder);
      }
      case 12:
        return pass_to_oneself();
      default:
        return keep(socket(AF_UNIX, SOCK_DGRAM, 0));
    }
  }

  void pass_to_oneself() {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) fail("socketpair");
    char byte = 0;
    iovec part{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &pair[0], sizeof(int));
    if (sendmsg(pair[0], &message, 0) < 0 || recvmsg(pair[1], &message, 0) < 0) fail("message");
    int arrived;
    memcpy(&arrived, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof arrived);
    close(pair[0]);
    close(pair[1]);
    keep(arrived);
  }

  void give_back(unsigned index) {
    Held held = held_[index];
    held_[index] = held_[--count_];
    if (held.file) {
      if (fclose(held.file)) fail("fclose");
    } else if (held.folder) {
      if (closedir(held.folder)) fail("closedir");
    } else if (unsigned way = random_.below(4); way == 0) {
      if (syscall(SYS_close, held.fd)) fail("close by number");
    } else if (way == 1) {
      auto number = static_cast<unsigned>(held.fd);
      if (syscall(SYS_close_range, number, number, 0) && close(held.fd)) fail("close_range");
    } else if (close(held.fd)) {
      fail("close");
    }
  }

  /// Something else under the number of what was there.
  void replace(unsigned index) {
    Held& held = held_[index];
    if (held.folder) return;
    if (held.file) {
      held.file = freopen("/dev/zero", "r", held.file);
      if (!held.file) fail("freopen");
      held.fd = fileno(held.file);
      return;
    }
    int source = any();
    int result = random_.below(2) || source == held.fd ? dup2(source, held.fd) : dup3(source, held.fd, O_CLOEXEC);
    if (result != held.fd) fail("dup2");
  }

  Random random_;
  Held held_[kMostHeld];
  unsigned count_ = 0;
  long operations_ = 0;
};

void* work(void* number) {
  Worker worker(static_cast<unsigned>(reinterpret_cast<uintptr_t>(number)));
  worker.run();
  return nullptr;
}

/// The child has the forking thread alone, and everybody's descriptors.
[[noreturn]] void be_child() {
  int before = open_descriptors();
  int own = 0, given_up = 0;
  for (int fd = 3; fd < 200 && given_up < 6; ++fd) {
    // Of those that it was started with it closes some and replaces others.
    if (fcntl(fd, F_GETFD) < 0) continue;
    ++given_up;
    if (given_up % 2)
      close(fd);
    else
      own += dup2(0, fd) == fd;
  }
  for (int i = 0; i < 10; ++i) own += open("/dev/null", O_RDONLY) >= 0;
  int one = dup(0);
  close(one);
  if (open_descriptors() != before - given_up + own) fail("the child's own count");
  say("child %d held %d inherited %d\n", getpid(), own, before - given_up);
  exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  double length = argc > 1 ? atof(argv[1]) : 1;
  int threads = argc > 2 ? atoi(argv[2]) : 8;
  int forks = argc > 3 ? atoi(argv[3]) : 4;
  int inherited = open_descriptors();
  pthread_t handles[64];
  for (int i = 0; i < threads; ++i)
    pthread_create(&handles[i], nullptr, work, reinterpret_cast<void*>(uintptr_t(i + 1)));
  usleep(static_cast<useconds_t>(length * 5e5));
  for (int i = 0; i < forks; ++i) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) be_child();
    int status;
    if (waitpid(child, &status, 0) != child || status) fail("a child");
    usleep(static_cast<useconds_t>(length * 5e5 / forks));
  }
  g_stop = true;
  for (int i = 0; i < threads; ++i) pthread_join(handles[i], nullptr);
  if (open_descriptors() != inherited + g_held) fail("the parent's own count");
  say("parent %d held %ld inherited %d\n", getpid(), g_held.load(), inherited);
  say("operations %ld\n", g_operations.load());
  return 0;
}
