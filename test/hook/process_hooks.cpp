// The hooked functions that end, replace or copy the process, and those of the log: one per run, each in a pair.
//
//   process_hooks HOOK leak|clean FILE   opens FILE, goes through HOOK, and (clean) has closed FILE before
//   process_hooks after                  what an exec leads to: says how it was called
//
// For the exec family the hooked function is tried twice: once where it must fail, so that the process goes on, then
// for good.
#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "../support/raw_call.h"
#include "hook/libc_functions.h"

namespace {

const char* g_self;
int g_fd = -1;
bool g_clean;

/// The leaking and the clean twin differ in this.
void give_back() {
  if (g_clean) close(g_fd);
}

[[noreturn]] void fail(const char* what) {
  printf("%s: %s\n", what, strerror(errno));
  fflush(stdout);
  _exit(100);
}

char kAfter[] = "after";
char kMark[] = "HOOK_MARK=passed on";

/// `attempt(path, arguments, environment)` calls the hooked function.
template <class Attempt>
void replace(Attempt attempt) {
  char* arguments[] = {const_cast<char*>(g_self), kAfter, nullptr};
  char* environment[64];
  size_t count = 0;
  for (char** entry = environ; *entry && count < 62; ++entry) environment[count++] = *entry;
  environment[count++] = kMark;
  environment[count] = nullptr;
  putenv(kMark);
  if (attempt("/nonexistent", arguments, environment) != -1 || (errno != ENOENT && errno != EINVAL))
    fail("exec of nothing");
  give_back();
  attempt(g_self, arguments, environment);
  fail("exec");
}

/// A vfork child closes and replaces descriptors of its own; the parent's stay as they are.
void through_vfork() {
  int spare = dup(0);
  pid_t child = vfork();
  if (child == 0) {
    close(g_fd);
    dup2(0, spare);
    int more = open("/dev/null", O_RDONLY);
    if (more < 0) _exit(1);
    _exit(7);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 7) fail("vfork");
  close(spare);
  give_back();
}

void through_dlclose() {
  void* library = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
  if (!library || dlclose(library)) fail("dlclose");
  give_back();
}

/// Nobody but this thread has the descriptors.
void through_unshare() {
  if (unshare(CLONE_FILES)) fail("unshare");
  if (unshare(1) != -1 || errno != EINVAL) fail("unshare of nothing");
  give_back();
}

/// What passes through prctl does what it would; the sandboxes it makes are test/e2e/programs/sandbox.c's.
void through_prctl() {
  char name[16] = "";
  if (prctl(PR_SET_NAME, "renamed") || prctl(PR_GET_NAME, name) || strcmp(name, "renamed")) fail("prctl");
  if (prctl(-1, 0, 0, 0, 0) != -1 || errno != EINVAL) fail("prctl of nothing");
  give_back();
}

void log_list(const char* format, ...) {
  va_list values;
  va_start(values, format);
  vsyslog(LOG_USER | LOG_DEBUG, format, values);
  va_end(values);
}
void log_checked_list(const char* format, ...) {
  va_list values;
  va_start(values, format);
  __vsyslog_chk(LOG_USER | LOG_DEBUG, 1, format, values);
  va_end(values);
}

/// Limits are what they were set to, and each of them fails as it would. What they and locking do to the runtime's
/// memory is test/e2e/test_memory.py's.
bool through_limit(const char* hook) {
  rlimit now{}, nothing{};
  rlimit64 large{};
  rlimit low{1, 0};
  rlimit64 large_low{1, 0};
  if (getrlimit(RLIMIT_AS, &now) || getrlimit64(RLIMIT_AS, &large)) fail("getrlimit");
  if (!strcmp(hook, "setrlimit")) {
    now.rlim_cur = size_t{4} << 30;
    if (setrlimit(RLIMIT_AS, &low) != -1 || errno != EINVAL || setrlimit(RLIMIT_AS, &now)) fail(hook);
  } else if (!strcmp(hook, "setrlimit64")) {
    large.rlim_cur = size_t{4} << 30;
    if (setrlimit64(RLIMIT_AS, &large_low) != -1 || errno != EINVAL || setrlimit64(RLIMIT_AS, &large)) fail(hook);
  } else if (!strcmp(hook, "prlimit")) {
    now.rlim_cur = size_t{4} << 30;
    if (prlimit(0, RLIMIT_AS, &low, nullptr) != -1 || errno != EINVAL || prlimit(0, RLIMIT_AS, &now, nullptr))
      fail(hook);
  } else if (!strcmp(hook, "prlimit64")) {
    large.rlim_cur = size_t{4} << 30;
    if (prlimit64(0, RLIMIT_AS, &large_low, nullptr) != -1 || errno != EINVAL) fail(hook);
    if (prlimit64(getpid(), RLIMIT_AS, &large, nullptr)) fail(hook);
  } else {
    return false;
  }
  if (getrlimit(RLIMIT_AS, &nothing) || nothing.rlim_cur != size_t{4} << 30) fail("the limit is another");
  give_back();
  return true;
}

bool through_lock(const char* hook) {
  bool locks = !strcmp(hook, "mlockall");
  if (!locks && strcmp(hook, "munlockall") != 0) return false;
  if (locks && (mlockall(0) != -1 || errno != EINVAL || mlockall(64) != -1 || errno != EINVAL))
    fail("mlockall of nothing");
  // It may not be allowed here.
  if (mlockall(MCL_CURRENT | MCL_ONFAULT) && errno != EPERM && errno != ENOMEM) fail(hook);
  if (munlockall()) fail("munlockall");
  give_back();
  return true;
}

/// Memory that is kept from children is not there in one, and a call that fails does so as it would.
bool through_advice(const char* hook) {
  if (strcmp(hook, "madvise") != 0) return false;
  constexpr size_t kBytes = 4096;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (madvise(static_cast<char*>(memory) + 1, kBytes, MADV_DONTFORK) != -1 || errno != EINVAL)
    fail("madvise of no page");
  if (madvise(memory, kBytes, MADV_DONTFORK)) fail(hook);
  pid_t child = fork();
  if (!child) _exit(madvise(memory, kBytes, MADV_NORMAL) == -1 && errno == ENOMEM ? 0 : 1);
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail("a child has what was kept from it");
  munmap(memory, kBytes);
  give_back();
  return true;
}

extern "C" int __poll(pollfd*, nfds_t, int);
extern "C" int __poll_chk(pollfd*, nfds_t, int, size_t);

/// The environment is what it was set to, also where a test framework says in it which test runs; what these refuse,
/// they refuse.
bool through_environment(const char* hook) {
  static char assignment[] = "PYTEST_CURRENT_TEST=a.py::test_x (call)", removal[] = "PYTEST_CURRENT_TEST";
  auto is = [](const char* name, const char* value) {
    const char* now = getenv(name);
    return value ? now && !strcmp(now, value) : !now;
  };
  for (const char* name : {"PYTEST_CURRENT_TEST", "ANOTHER"}) {
    if (!strcmp(hook, "setenv")) {
      if (setenv(name, "a", 1) || setenv(name, "b", 0) || !is(name, "a") || setenv(name, "c", 1) || !is(name, "c"))
        fail(hook);
      if (setenv("", "a", 1) != -1 || errno != EINVAL || setenv("A=", "a", 1) != -1 || errno != EINVAL) fail(hook);
    } else if (!strcmp(hook, "unsetenv")) {
      if (setenv(name, "a", 1) || unsetenv(name) || !is(name, nullptr) || unsetenv(name)) fail(hook);
      if (unsetenv("") != -1 || errno != EINVAL || unsetenv("A=") != -1 || errno != EINVAL) fail(hook);
    } else if (!strcmp(hook, "clearenv")) {
      if (setenv(name, "a", 1) || clearenv() || !is(name, nullptr) || (environ && *environ) || clearenv()) fail(hook);
      if (setenv(name, "b", 1) || !is(name, "b")) fail(hook);
    } else if (!strcmp(hook, "putenv")) {
      if (putenv(assignment) || !is("PYTEST_CURRENT_TEST", "a.py::test_x (call)")) fail(hook);
      if (getenv("PYTEST_CURRENT_TEST") != strchr(assignment, '=') + 1) fail("putenv has made a copy");
      if (putenv(removal) || !is("PYTEST_CURRENT_TEST", nullptr)) fail(hook);
    } else {
      return false;
    }
  }
  give_back();
  return true;
}

/// Calls that wait end when their time is up, and earlier where something has come; what they refuse, they refuse.
bool through_wait(const char* hook) {
  auto is = [&](const char* name) { return !strcmp(hook, name); };
  timespec time{0, 2'000'000}, wrong{0, -1};
  int pipe_ends[2];
  if (is("nanosleep")) {
    if (nanosleep(&time, nullptr) || nanosleep(&wrong, nullptr) != -1 || errno != EINVAL) fail(hook);
  } else if (is("clock_nanosleep")) {
    if (clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr)) fail(hook);
    if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr)) fail(hook);
    if (clock_nanosleep(CLOCK_MONOTONIC, 0, &wrong, nullptr) != EINVAL) fail(hook);
  } else if (is("usleep")) {
    if (usleep(2000)) fail(hook);
  } else if (is("thrd_sleep")) {
    if (thrd_sleep(&time, nullptr) || thrd_sleep(&wrong, nullptr) >= 0) fail(hook);
  } else if (is("poll") || is("__poll") || is("__poll_chk")) {
    if (pipe(pipe_ends)) fail("pipe");
    auto wait = [&](nfds_t count, int milliseconds) {
      pollfd end{pipe_ends[0], POLLIN, 0};
      return is("poll")     ? ::poll(&end, count, milliseconds)
             : is("__poll") ? __poll(&end, count, milliseconds)
                            : __poll_chk(&end, count, milliseconds, sizeof end);
    };
    if (wait(1, 2) != 0 || wait(0, 0) != 0 || write(pipe_ends[1], "x", 1) != 1 || wait(1, -1) != 1) fail(hook);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
  } else if (is("semtimedop")) {
    int set = semget(IPC_PRIVATE, 1, 0600);
    sembuf more{0, 1, 0}, less{0, -1, 0};
    if (semtimedop(set, &less, 1, &time) != -1 || errno != EAGAIN) fail(hook);
    if (semtimedop(set, &more, 1, nullptr) || semtimedop(set, &less, 1, &time)) fail(hook);
    if (semtimedop(set, &less, 1, &wrong) != -1 || errno != EINVAL) fail(hook);
    semctl(set, 0, IPC_RMID);
  } else if (is("sigtimedwait")) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    if (sigtimedwait(&signals, nullptr, &time) != -1 || errno != EAGAIN || raise(SIGUSR1)) fail(hook);
    if (sigtimedwait(&signals, nullptr, &time) != SIGUSR1) fail(hook);
    if (sigtimedwait(&signals, nullptr, &wrong) != -1 || errno != EINVAL) fail(hook);
  } else if (is("epoll_wait") || is("epoll_pwait") || is("epoll_pwait2")) {
    int epoll = epoll_create1(0);
    if (pipe(pipe_ends)) fail("pipe");
    epoll_event event{EPOLLIN, {}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_ends[0], &event)) fail("epoll_ctl");
    auto wait = [&](int milliseconds) {
      return is("epoll_wait")    ? epoll_wait(epoll, &event, 1, milliseconds)
             : is("epoll_pwait") ? epoll_pwait(epoll, &event, 1, milliseconds, nullptr)
                                 : epoll_pwait2(epoll, &event, 1, milliseconds < 0 ? nullptr : &time, nullptr);
    };
    if (wait(2) != 0 || write(pipe_ends[1], "x", 1) != 1 || wait(-1) != 1) fail(hook);
    close(epoll);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
  } else {
    return false;
  }
  give_back();
  return true;
}

int g_caught;
extern "C" __sighandler_t bsd_signal(int, __sighandler_t) noexcept;

/// Handlers are installed and called; what cannot have one is refused.
bool through_handler(const char* hook) {
  struct sigaction action {};
  action.sa_handler = [](int) { ++g_caught; };
  auto set = [&](int number) {
    if (!strcmp(hook, "sigaction")) return sigaction(number, &action, nullptr) == 0;
    auto function = !strcmp(hook, "signal")        ? ::signal
                    : !strcmp(hook, "bsd_signal")  ? ::bsd_signal
                    : !strcmp(hook, "ssignal")     ? ::ssignal
                    : !strcmp(hook, "sysv_signal") ? ::sysv_signal
                                                   : ::__sysv_signal;
    return function(number, action.sa_handler) != SIG_ERR;
  };
  if (!strstr(hook, "signal") && !strstr(hook, "sigaction")) return false;
  if (set(SIGKILL) || errno != EINVAL) fail("a handler for SIGKILL");
  if (!set(SIGUSR1) || raise(SIGUSR1) || g_caught != 1) fail(hook);
  signal(SIGUSR1, SIG_DFL);
  struct sigaction before {};
  if (sigaction(SIGUSR2, nullptr, &before) || before.sa_handler != SIG_DFL || before.sa_flags) fail("another handler");
  if (signal(SIGUSR2, SIG_DFL) != SIG_DFL) fail("another handler");
  give_back();
  return true;
}

/// A connection to the log is libc's, until closelog.
bool through_log(const char* hook) {
  if (!strcmp(hook, "openlog") || !strcmp(hook, "closelog"))
    openlog("unfreed", LOG_NDELAY, LOG_USER);
  else if (!strcmp(hook, "syslog"))
    syslog(LOG_USER | LOG_DEBUG, "a line of %s, %d %.1f", hook, 1, 2.5);
  else if (!strcmp(hook, "__syslog_chk"))
    __syslog_chk(LOG_USER | LOG_DEBUG, 1, "a line of %s, %d %.1f", hook, 1, 2.5);
  else if (!strcmp(hook, "vsyslog"))
    log_list("a line of %s, %d %.1f", hook, 1, 2.5);
  else if (!strcmp(hook, "__vsyslog_chk"))
    log_checked_list("a line of %s, %d %.1f", hook, 1, 2.5);
  else
    return false;
  close(g_fd);
  if (g_clean) closelog();
  return true;
}

/// The twin is the parent. Its report comes from there, and it ends with 0; the child ends with nothing held.
bool through_daemon(const char* hook) {
  if (strcmp(hook, "daemon")) return false;
  give_back();
  if (daemon(0, 0)) fail("daemon");
  _exit(0);
}

bool through_ending(const char* hook) {
  if (strcmp(hook, "_exit") && strcmp(hook, "_Exit") && strcmp(hook, "quick_exit") && strcmp(hook, "abort"))
    return false;
  give_back();
  if (!strcmp(hook, "_exit")) _exit(0);
  if (!strcmp(hook, "_Exit")) _Exit(0);
  if (!strcmp(hook, "quick_exit")) quick_exit(0);
  abort();
}

bool through_exec(const char* hook) {
  auto is = [&](const char* name) { return !strcmp(hook, name); };
  if (is("execve"))
    replace([](auto path, auto arguments, auto environment) { return execve(path, arguments, environment); });
  if (is("execv")) replace([](auto path, auto arguments, auto) { return execv(path, arguments); });
  if (is("execvp")) replace([](auto path, auto arguments, auto) { return execvp(path, arguments); });
  if (is("execvpe"))
    replace([](auto path, auto arguments, auto environment) { return execvpe(path, arguments, environment); });
  if (is("execl"))
    replace([](auto path, auto arguments, auto) { return execl(path, arguments[0], arguments[1], nullptr); });
  if (is("execlp"))
    replace([](auto path, auto arguments, auto) { return execlp(path, arguments[0], arguments[1], nullptr); });
  if (is("execle"))
    replace([](auto path, auto arguments, auto environment) {
      return execle(path, arguments[0], arguments[1], nullptr, environment);
    });
  if (is("fexecve"))
    replace([](auto path, auto arguments, auto environment) {
      int fd = open(path, O_RDONLY | O_CLOEXEC);
      return fexecve(fd, arguments, environment);
    });
  if (is("execveat"))
    replace([](auto path, auto arguments, auto environment) {
      return execveat(AT_FDCWD, path, arguments, environment, 0);
    });
  return false;
}

/// Opened past every hooked function that can be watched.
long open_unseen(const char* path) { return raw_call(SYS_openat, AT_FDCWD, reinterpret_cast<long>(path), O_RDONLY, 0); }

}  // namespace

int main(int argc, char** argv) {
  g_self = argv[0];
  if (argc == 2 && !strcmp(argv[1], "after")) {
    const char* mark = getenv("HOOK_MARK");
    printf("%d arguments, %s\n", argc, mark ? mark : "no mark");
    return 0;
  }
  if (argc != 4) return 2;
  const char* hook = argv[1];
  g_clean = !strcmp(argv[2], "clean");
  if (!strcmp(hook, "unseen")) {
    long fd = open_unseen(argv[3]);
    if (g_clean) close(static_cast<int>(fd));
    return fd < 0;
  }
  g_fd = open(argv[3], O_RDONLY);
  if (g_fd < 0) fail(argv[3]);
  if (!strcmp(hook, "vfork"))
    through_vfork();
  else if (!strcmp(hook, "dlclose"))
    through_dlclose();
  else if (!strcmp(hook, "prctl"))
    through_prctl();
  else if (!strcmp(hook, "unshare"))
    through_unshare();
  else if (through_limit(hook) || through_lock(hook) || through_advice(hook) || through_handler(hook) ||
           through_wait(hook) || through_environment(hook))
    ;
  else if (!through_log(hook) && !through_daemon(hook) && !through_ending(hook) && !through_exec(hook))
    return 2;
  return 0;
}
