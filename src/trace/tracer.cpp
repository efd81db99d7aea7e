#include "trace/tracer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/syscall.h"
#include "trace/calls.h"
#include "trace/observe_loop.h"
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

constexpr size_t kMostProblem = 1000;

/// Asked for by the command, over `socket`: answers 0 or an errno.
template <class Loop>
bool serve(Loop& loop, int socket) {
  int command = 0;
  if (recv(socket, &command, sizeof command, 0) != sizeof command) return false;
  int error = loop.seize(command);
  return send(socket, &error, sizeof error, MSG_NOSIGNAL) == sizeof error && !error;
}

/// Says first whether it can: with a line, or with nothing.
void serve_observing(const TraceSetup& setup, int socket) {
  ObserveLoop loop(setup);
  std::string problem = loop.prepare();
  problem.resize(std::min(problem.size(), kMostProblem));
  if (send(socket, problem.c_str(), problem.size() + 1, MSG_NOSIGNAL) < 0 || !problem.empty()) return;
  if (serve(loop, socket)) loop.run(socket);
  _exit(0);  // the kernel takes its side away by itself
}

[[noreturn]] void live(const TraceSetup& setup, Method method, int socket) {
  setsid();  // neither the terminal's signals nor those to the group of the launcher
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  if (method == Method::stop) pass_through_after_fault();
  prctl(PR_SET_NAME, method == Method::stop ? "unfreed-trace" : "unfreed-observe");
  close_all_but(socket, setup.ledgers.folder);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 1024);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (method == Method::observe) {
    serve_observing(setup, socket);
    _exit(0);
  }
  try {
    TraceLoop loop(setup);
    bool has_command = serve(loop, socket);
    close(socket);
    if (has_command) loop.run();
  } catch (...) {
    pass_through();
  }
  _exit(0);
}

}  // namespace

Tracer::Tracer(const TraceSetup& setup, Method method) : method_(method), filter_(make_filter()) {
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
  if (pid_ == 0) live(setup, method, sockets[1]);
  if (pid_ < 0) error_ = errno;
  close(sockets[1]);
  if (!error_ && method == Method::observe) error_ = wait_until_ready();
}

int Tracer::wait_until_ready() {
  char text[kMostProblem + 1] = "";
  ssize_t got;
  while ((got = recv(own_.get(), text, sizeof text - 1, 0)) < 0 && errno == EINTR) {
  }
  if (got <= 0) problem_ = "--backend=ebpf: the observer could not start";
  if (got > 0) problem_ = text;
  return problem_.empty() ? 0 : EPERM;
}

bool Tracer::catch_up() const {
  constexpr int kPatienceMilliseconds = 30'000;
  char asked = 0;
  if (error_ || method_ == Method::stop) return true;
  if (send(own_.get(), &asked, sizeof asked, MSG_NOSIGNAL) < 0) return true;  // it has ended, and read all before
  pollfd answered{own_.get(), POLLIN, 0};
  int ready;
  while ((ready = poll(&answered, 1, kPatienceMilliseconds)) < 0 && errno == EINTR) {
  }
  return ready > 0;
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
  return answer || method_ == Method::observe ? answer : install_filter(filter_);
}

}  // namespace unfreed::trace
