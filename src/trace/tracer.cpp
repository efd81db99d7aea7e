#include "trace/tracer.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/syscall.h"
#include "trace/calls.h"
#include "trace/pass_through.h"
#include "trace/trace_loop.h"

namespace unfreed::trace {

namespace {

/// Nothing of the launcher's may be kept open: whoever reads its output waits for the end of the file.
void close_all_but(int kept, int folder) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int standard = 0; null >= 0 && standard <= 2; ++standard) dup2(null, standard);
  int first = std::min(kept, folder), last = std::max(kept, folder);
  auto close_between = [](int from, int to) {
    if (from <= to) close_range(static_cast<unsigned>(from), static_cast<unsigned>(to), 0);
  };
  close_between(3, first - 1);
  close_between(first + 1, last - 1);
  close_range(static_cast<unsigned>(last + 1), ~0u, 0);
}

/// Asked for by the command, over `socket`: answers 0 or an errno.
void serve(const TraceSetup& setup, int socket) {
  int command = 0;
  if (recv(socket, &command, sizeof command, 0) != sizeof command) return;
  TraceLoop loop(setup);
  int error = loop.seize(command);
  if (send(socket, &error, sizeof error, MSG_NOSIGNAL) != sizeof error || error) return;
  close(socket);
  loop.run();
}

[[noreturn]] void live(const TraceSetup& setup, int socket) {
  setsid();  // neither the terminal's signals nor those to the group of the launcher
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  pass_through_after_fault();
  prctl(PR_SET_NAME, "unfreed-trace");
  close_all_but(socket, setup.ledgers.folder);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 1024);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  try {
    serve(setup, socket);
  } catch (...) {
    pass_through();
  }
  _exit(0);
}

}  // namespace

Tracer::Tracer(const TraceSetup& setup) : filter_(make_filter()) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    error_ = errno;
    return;
  }
  own_ = base::UniqueFd(sockets[0]);
  void* shared = mmap(nullptr, sizeof(bool), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) {
    error_ = errno;
    close(sockets[1]);
    return;
  }
  has_given_up_ = static_cast<volatile bool*>(shared);
  g_has_given_up = has_given_up_;
  pid_ = fork();
  if (pid_ == 0) live(setup, sockets[1]);
  if (pid_ < 0) error_ = errno;
  close(sockets[1]);
}

int Tracer::trace_me() const {
  if (error_) return error_;
  // Where only ancestors may trace (Yama). Elsewhere the kernel does not know of it.
  prctl(PR_SET_PTRACER, pid_, 0, 0, 0);
  int self = getpid();
  int answer = ECHILD;
  if (send(own_.get(), &self, sizeof self, MSG_NOSIGNAL) != sizeof self) return errno;
  while (recv(own_.get(), &answer, sizeof answer, 0) < 0)
    if (errno != EINTR) return errno;
  return answer ? answer : install_filter(filter_);
}

}  // namespace unfreed::trace
