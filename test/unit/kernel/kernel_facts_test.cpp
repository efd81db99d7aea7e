#include "kernel/kernel_facts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>

#include "support/ledger_builder.h"

namespace unfreed::report {
namespace {

using test::LedgerBuilder;

struct Fact {
  std::string target;
  uint32_t status_flags;
  bool cloexec;
};
using Facts = std::map<int, Fact>;

Facts facts_of(LedgerBuilder& builder) {
  Facts facts;
  ledger::View view = builder.view();
  for (uint32_t index = 0; index < view.kernel_fd_count(); ++index) {
    const ledger::KernelFd& record = *view.kernel_fd(index);
    EXPECT_EQ(facts.count(record.fd), 0u) << record.fd;
    facts[record.fd] = {std::string(view.text(record.target)), record.status_flags,
                        (record.flags & ledger::kKernelFdCloexec) != 0};
  }
  return facts;
}

Facts take(int pid = 0) {
  LedgerBuilder builder;
  EXPECT_TRUE(take_kernel_facts(builder.writer(), pid));
  EXPECT_TRUE(builder.header().flags & ledger::kHeaderFlagReconciled);
  return facts_of(builder);
}

size_t open_descriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) count += entry.path().has_filename();
  return count - 1;  // the iterator's own
}

/// A descriptor that is closed with its scope.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) { EXPECT_GE(fd, 0) << std::strerror(errno); }
  ~Fd() { close(fd_); }
  Fd(const Fd&) = delete;
  operator int() const { return fd_; }

 private:
  int fd_;
};

sockaddr_in loopback(uint16_t port = 0) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

uint16_t port_of(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

TEST(KernelFacts, ListsExactlyTheOpenDescriptors) {
  size_t before = open_descriptors();
  EXPECT_EQ(take().size(), before);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(KernelFacts, FilesHaveTheirPathAndFlags) {
  char path[] = "/tmp/unfreed-facts-XXXXXX";
  Fd file(mkostemp(path, O_CLOEXEC | O_APPEND));
  Facts facts = take();
  EXPECT_EQ(facts[file].target, path);
  EXPECT_TRUE(facts[file].cloexec);
  EXPECT_TRUE(facts[file].status_flags & O_APPEND);
  EXPECT_EQ(facts[file].status_flags & O_ACCMODE, static_cast<uint32_t>(O_RDWR));
  unlink(path);
  EXPECT_EQ(take()[file].target, std::string(path) + " (deleted)");
}

TEST(KernelFacts, SpecialDescriptorsAreNamedPlainly) {
  Fd event(eventfd(0, 0));
  Fd timer(timerfd_create(CLOCK_MONOTONIC, 0));
  sigset_t none;
  sigemptyset(&none);
  Fd signal(signalfd(-1, &none, 0));
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  Fd notify(inotify_init());
  Fd memory(memfd_create("scratch pad", 0));
  Fd process(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  Fd reading(ends[0]);
  Fd writing(ends[1]);
  Facts facts = take();
  EXPECT_EQ(facts[event].target, "eventfd");
  EXPECT_EQ(facts[timer].target, "timerfd");
  EXPECT_EQ(facts[signal].target, "signalfd");
  EXPECT_EQ(facts[epoll].target, "epoll");
  EXPECT_TRUE(facts[epoll].cloexec);
  EXPECT_FALSE(facts[event].cloexec);
  EXPECT_EQ(facts[notify].target, "inotify");
  EXPECT_EQ(facts[memory].target, "memfd:scratch pad");
  EXPECT_EQ(facts[process].target, "pidfd");
  EXPECT_EQ(facts[reading].target.rfind("pipe:[", 0), 0u);
  EXPECT_EQ(facts[reading].target, facts[writing].target);
}

TEST(KernelFacts, TcpSocketsShowBothEndsAndTheState) {
  Fd listener(socket(AF_INET, SOCK_STREAM, 0));
  Fd unbound(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = loopback();
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  address = loopback(port_of(listener));
  Fd client(socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  Fd server(accept(listener, nullptr, nullptr));
  std::string here = "127.0.0.1:" + std::to_string(port_of(listener));
  std::string there = "127.0.0.1:" + std::to_string(port_of(client));
  Facts facts = take();
  EXPECT_EQ(facts[listener].target, "tcp " + here + " listening");
  EXPECT_EQ(facts[client].target, "tcp " + there + " -> " + here + " established");
  EXPECT_EQ(facts[server].target, "tcp " + here + " -> " + there + " established");
  EXPECT_EQ(facts[unbound].target, "tcp unbound");
  shutdown(client, SHUT_WR);
  pollfd end{server, POLLIN, 0};
  poll(&end, 1, 5000);
  EXPECT_EQ(take()[server].target, "tcp " + here + " -> " + there + " close_wait");
}

TEST(KernelFacts, OtherSocketsAreDescribedByTheirFamily) {
  Fd datagram(socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in address = loopback();
  ASSERT_EQ(bind(datagram, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  Fd left(pair[0]);
  Fd right(pair[1]);
  Fd netlink(socket(AF_NETLINK, SOCK_RAW, 0));
  Facts facts = take();
  EXPECT_EQ(facts[datagram].target, "udp 127.0.0.1:" + std::to_string(port_of(datagram)));
  EXPECT_EQ(facts[left].target, "unix stream unnamed");
  EXPECT_EQ(facts[netlink].target, "netlink route");
}

TEST(KernelFacts, UnixSocketsShowPathsAndAbstractNames) {
  Fd listener(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = "/tmp/unfreed-facts-" + std::to_string(getpid()) + ".sock";
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  unlink(path.c_str());
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  Fd client(socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  Fd abstract(socket(AF_UNIX, SOCK_DGRAM, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::string_view("\0unfreed", 8).copy(name.sun_path, 8);
  ASSERT_EQ(bind(abstract, reinterpret_cast<sockaddr*>(&name), offsetof(sockaddr_un, sun_path) + 8), 0);
  Facts facts = take();
  unlink(path.c_str());
  EXPECT_EQ(facts[listener].target, "unix " + path + " listening");
  EXPECT_EQ(facts[client].target, "unix stream unnamed -> " + path);
  EXPECT_EQ(facts[abstract].target, "unix dgram @unfreed");
}

/// Runs `body` in a child; its exit status.
template <class Body>
int in_child(Body body) {
  pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

TEST(KernelFacts, WorkWithoutAFreeDescriptor) {
  EXPECT_EQ(in_child([] {
              LedgerBuilder builder;
              rlimit limit{64, 64};
              setrlimit(RLIMIT_NOFILE, &limit);
              int last = -1;
              for (int fd; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) last = fd;
              if (last != 63) return 1;
              if (!take_kernel_facts(builder.writer(), 0)) return 2;
              Facts facts = facts_of(builder);
              if (facts.size() != 64) return 3;
              return facts[63].target == "/dev/null" && facts[63].cloexec ? 0 : 4;
            }),
            0);
}

TEST(KernelFacts, NumbersBeyondALoweredLimitAreFoundThroughTheTable) {
  EXPECT_EQ(in_child([] {
              LedgerBuilder builder;
              if (dup2(0, 200) != 200) return 1;
              builder.table_fd(200, ledger::FdOrigin::acquired);
              rlimit limit{3, 3};
              setrlimit(RLIMIT_NOFILE, &limit);
              for (int fd = 3; fd < 200; ++fd) close(fd);
              if (!take_kernel_facts(builder.writer(), 0)) return 2;
              return facts_of(builder).count(200) == 1 ? 0 : 3;
            }),
            0);
}

TEST(KernelFacts, WorkWithoutProc) {
  int status = in_child([] {
    LedgerBuilder builder;
    int ends[2];
    int pair[2];
    if (pipe(ends) != 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0) return 1;
    int file = open("/dev/null", O_RDONLY);
    if (chroot("/var/empty") != 0 && (mkdir("/tmp/unfreed-no-proc", 0700), chroot("/tmp/unfreed-no-proc")) != 0)
      return 77;
    if (!take_kernel_facts(builder.writer(), 0)) return 2;
    Facts facts = facts_of(builder);
    if (facts.count(file) != 1 || !facts[file].target.empty()) return 3;
    if (facts[ends[0]].target.rfind("pipe:[", 0) != 0) return 4;
    return facts[pair[0]].target == "unix dgram unnamed" ? 0 : 5;
  });
  rmdir("/tmp/unfreed-no-proc");
  if (status == 77) GTEST_SKIP() << "chroot needs privileges";
  EXPECT_EQ(status, 0);
}

TEST(KernelFacts, AnotherProcessIsReadFromOutside) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    int file = open("/dev/null", O_WRONLY | O_CLOEXEC | O_APPEND);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = loopback();
    bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address);
    listen(listener, 1);
    int numbers[3] = {file, listener, port_of(listener)};
    if (write(ready[1], numbers, sizeof numbers) != sizeof numbers) _exit(1);
    pause();
    _exit(0);
  }
  int numbers[3];
  ASSERT_EQ(read(ready[0], numbers, sizeof numbers), static_cast<ssize_t>(sizeof numbers));
  size_t before = open_descriptors();
  LedgerBuilder builder;
  EXPECT_TRUE(take_kernel_facts(builder.writer(), child));
  EXPECT_EQ(open_descriptors(), before);
  Facts facts = facts_of(builder);
  EXPECT_EQ(facts[numbers[0]].target, "/dev/null");
  EXPECT_TRUE(facts[numbers[0]].cloexec);
  EXPECT_TRUE(facts[numbers[0]].status_flags & O_APPEND);
  EXPECT_EQ(facts[numbers[0]].status_flags & O_ACCMODE, static_cast<uint32_t>(O_WRONLY));
  EXPECT_FALSE(facts[numbers[1]].cloexec);
  // Being allowed to take another process's socket is a matter of privileges.
  std::string tcp = "tcp 127.0.0.1:" + std::to_string(numbers[2]) + " listening";
  EXPECT_TRUE(facts[numbers[1]].target == tcp || facts[numbers[1]].target.rfind("socket:[", 0) == 0)
      << facts[numbers[1]].target;
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  EXPECT_FALSE(take_kernel_facts(builder.writer(), child));
  EXPECT_FALSE(builder.header().flags & ledger::kHeaderFlagReconciled);
  EXPECT_EQ(builder.header().dropped[static_cast<size_t>(ledger::Dropped::reconcile_failed)], 1u);
}

TEST(KernelFacts, TakingThemAgainReplacesTheListAndReusesTexts) {
  LedgerBuilder builder;
  ASSERT_TRUE(take_kernel_facts(builder.writer(), 0));
  uint32_t before = builder.view().text_bytes();
  Facts first = facts_of(builder);
  for (int round = 0; round < 10; ++round) ASSERT_TRUE(take_kernel_facts(builder.writer(), 0));
  EXPECT_EQ(builder.view().text_bytes(), before);
  EXPECT_EQ(facts_of(builder).size(), first.size());
}

TEST(KernelFacts, DescriptorsThatWereJustBeingClosedAreTakenOffTheList) {
  LedgerBuilder builder;
  Fd known(open("/dev/null", O_RDONLY));
  int closing = open("/dev/null", O_RDONLY);
  builder.table_fd(static_cast<uint32_t>(static_cast<int>(known)), ledger::FdOrigin::acquired);
  ASSERT_TRUE(take_kernel_facts(builder.writer(), 0));
  EXPECT_EQ(facts_of(builder).count(closing), 1u);
  close(closing);
  recheck_kernel_facts(builder.writer(), 0);
  EXPECT_EQ(facts_of(builder).count(closing), 0u);
  EXPECT_EQ(facts_of(builder).count(known), 1u);
}

}  // namespace
}  // namespace unfreed::report
