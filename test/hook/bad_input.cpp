// Calls every hooked function with what no hooked function can use, and prints a line per call: the expression, its
// result and errno. Run alone and under the runtime it must print the same. Pointers are null or not; what crashes does
// so in a child.
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstring>
#include <initializer_list>
#include <new>

#include "hook/libc_functions.h"

namespace {

void line(const char* format, ...) {
  char text[512];
  va_list values;
  va_start(values, format);
  int size = vsnprintf(text, sizeof text, format, values);
  va_end(values);
  if (write(1, text, static_cast<size_t>(size)) != size) _exit(3);
}

void show(const char* what, long result) {
  int error = errno;
  line("%s = %ld, errno %d\n", what, result, error);
}
template <class Type>
void show(const char* what, Type* result) {
  int error = errno;
  line("%s = %s, errno %d\n", what, result ? "a pointer" : "null", error);
}

constexpr int kBefore = 77;  ///< no error's number: shows whether errno was touched

// clang-format off
#define CALL(expression) (errno = kBefore, show(#expression, expression))
#define RUN(expression) (errno = kBefore, expression, show(#expression, 0L))
#define THROWS(expression) try { errno = kBefore; show(#expression, expression); } catch (const std::bad_alloc&) { line("%s throws\n", #expression); }
#define CRASHES(expression) if (pid_t child = fork()) await(#expression, child); else { struct rlimit none{0, 0}; setrlimit(RLIMIT_CORE, &none); (void)!freopen("/dev/null", "w", stderr); (void)expression; _exit(9); }
// clang-format on

void await(const char* what, pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  line("%s ends with %s %d\n", what, WIFSIGNALED(status) ? "signal" : "status",
       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

// Not known to the compiler, which would refuse or warn.
char* volatile nothing = nullptr;
FILE* volatile no_stream = nullptr;
DIR* volatile no_folder = nullptr;
int* volatile no_pair = nullptr;
volatile size_t huge = SIZE_MAX, half = SIZE_MAX / 2, odd = 3;
volatile int creating = O_CREAT;
char name[] = "x";
char* some_paths[] = {name, nullptr};
constexpr int kFar = 99999;

int closed_number() {
  int fd = dup(0);
  close(fd);
  return fd;
}

void opening() {
  CALL(open(nothing, O_RDONLY));
  CALL(open("", O_RDONLY));
  CALL(open("/dev/null", -1));
  CALL(open64("/nonexistent", O_RDWR));
  CALL(openat(-1, "x", O_RDONLY));
  CALL(openat(kFar, "x", O_RDONLY));
  CALL(openat64(0, "x", O_RDONLY));
  CALL(creat(nothing, 0));
  CALL(creat64("/nonexistent/x", 0));
  CALL(__open("", O_RDONLY));
  CALL(__open64("", O_RDONLY));
  CALL(__open_2("", O_RDONLY));
  CALL(__open64_2("", O_RDONLY));
  CALL(__openat_2(-1, "x", O_RDONLY));
  CALL(__openat64_2(-1, "x", O_RDONLY));
  CRASHES(__open_2("/dev/null", creating));
  CALL(open_by_handle_at(-1, nullptr, 0));
  char unfit[] = "unfit";
  CALL(mkstemp(unfit));
  CALL(mkostemp(unfit, -1));
  CALL(mkstemps(unfit, -1));
  CALL(mkstemps(unfit, INT_MAX));
  CALL(mkostemps64(unfit, 90, 0));
  CALL(mkostemps(unfit, -1, 0));
  CALL(mkstemps64(unfit, INT_MAX));
  CALL(mkstemp64(unfit));
  CALL(mkostemp64(unfit, -1));
  CRASHES(mkstemp(nothing));
  CALL(posix_openpt(-1));
  CALL(memfd_create(nothing, 0));
  CALL(memfd_create("x", ~0u));
  CALL(shm_open("/", O_RDWR, 0));
  CALL(shm_open("/a/b", O_RDWR, 0));
  CALL(open_tree(-1, nothing, 0));
  CALL(fsopen(nothing, ~0u));
  CALL(fspick(-1, nothing, ~0u));
  CALL(fsmount(-1, ~0u, ~0u));
  CALL(mq_open("no slash", O_RDONLY));
  CALL(mq_open("/unfreed-none", O_RDONLY));
  CALL(__mq_open_2("no slash", O_RDONLY));
  CALL(mq_close(-1));
  CALL(mq_close(kFar));
}

void closing() {
  int fd = closed_number();
  CALL(close(-1));
  CALL(close(INT_MIN));
  CALL(close(INT_MAX));
  CALL(close(kFar));
  CALL(close(fd));
  CALL(__close(fd));
  CALL(close_range(10, 5, 0));
  CALL(close_range(900, 910, 0x80));
  CALL(close_range(UINT_MAX - 1, UINT_MAX, 0));
  RUN(closefrom(kFar));
  RUN(closefrom(INT_MAX));
  CALL(dup(-1));
  CALL(dup(kFar));
  CALL(dup(fd));
  CALL(dup2(-1, 5));
  CALL(dup2(fd, fd));
  CALL(dup2(0, -1));
  CALL(dup2(0, INT_MAX));
  CALL(__dup2(-1, -1));
  CALL(dup3(0, 0, 0));
  CALL(dup3(0, 50, -1));
  CALL(dup3(kFar, 50, 0));
  CALL(fcntl(-1, F_GETFD));
  CALL(fcntl(0, 9999, -1));
  CALL(fcntl(0, F_DUPFD, -1));
  CALL(fcntl(0, F_DUPFD, INT_MAX));
  CALL(fcntl64(-1, F_DUPFD, 0));
  CALL(__fcntl(kFar, F_DUPFD_CLOEXEC, 0));
  int open_one = open("/dev/null", O_RDONLY);
  CALL(dup2(kFar, open_one));  // which stays open
  CALL(dup3(kFar, open_one, O_CLOEXEC));
  CALL(close(open_one));
  CALL(close(open_one));
}

void streams() {
  CALL(fopen(nothing, "r"));
  CALL(fopen("/nonexistent", "r"));
  CALL(fopen("/dev/null", ""));
  CALL(fopen64("/dev/null", "?"));
  CALL(_IO_fopen("/nonexistent", "r"));
  CRASHES(fopen("/dev/null", nothing));
  CALL(fdopen(-1, "r"));
  CALL(fdopen(kFar, "r"));
  CALL(fdopen(0, "?"));
  CALL(_IO_fdopen(-1, "r"));
  CALL(freopen("/nonexistent", "r", fopen("/dev/null", "r")));
  CALL(freopen64("/dev/null", "?", fopen("/dev/null", "r")));
  CRASHES(freopen("/dev/null", "r", no_stream));
  CRASHES(fclose(no_stream));
  CRASHES(_IO_fclose(no_stream));
  CRASHES(pclose(no_stream));
  CALL(popen("true", "?"));
  CALL(_IO_popen("true", ""));
  CALL(setmntent("/nonexistent", "r"));
  CALL(__setmntent("/nonexistent", "?"));
  CALL(setmntent("/dev/null", ""));
  CALL(endmntent(no_stream));
  CALL(__endmntent(no_stream));
  CALL(fts_open(some_paths, -1, nullptr));
  FTS64* unfit = nullptr;
  CALL(unfit = fts64_open(some_paths, 0, nullptr));  // glibc does not ask for a sort of walk to be named
  CALL(fts64_close(unfit));
  CRASHES(fts_read(nullptr));
  CRASHES(fts64_read(nullptr));
  CRASHES(fts_close(nullptr));
  CRASHES(fts64_close(nullptr));
  FTS* walk = fts_open(some_paths, FTS_PHYSICAL, nullptr);
  CALL(fts_children(walk, -1));
  CALL(fts_read(walk));
  CALL(fts_close(walk));
  FTS64* walk64 = fts64_open(some_paths, FTS_PHYSICAL, nullptr);
  CALL(fts64_children(walk64, -1));
  CALL(fts64_close(walk64));
  CALL(opendir(""));
  CALL(opendir("/dev/null"));
  CRASHES(opendir(nothing));
  CALL(fdopendir(-1));
  CALL(fdopendir(0));
  CALL(fdopendir(kFar));
  CALL(closedir(no_folder));
  FILE* memory = fmemopen(nullptr, 10, "w");  // a stream without a descriptor
  CALL(fclose(memory));
  int fd = open("/dev/null", O_RDONLY);
  FILE* robbed = fdopen(fd, "r");
  close(fd);
  CALL(fclose(robbed));
}

/// The parts of stdio, on a stream that is open already or none at all.
void stream_parts() {
  FILE* plain = fopen("/dev/null", "r");
  CALL(_IO_file_fopen(plain, "/dev/null", "r", 1));
  CALL(_IO_file_attach(plain, -1));
  CALL(_IO_proc_open(plain, "true", "r"));
  CALL(_IO_file_close_it(plain));
  CALL(_IO_file_close_it(plain));
  CALL(_IO_file_open(plain, "/nonexistent", O_RDONLY, 0, 8, 1));
  CALL(_IO_file_fopen(plain, "/nonexistent", "r", 1));
  CALL(_IO_file_fopen(plain, "/dev/null", "?", 1));
  CALL(fclose(plain));
  CRASHES(_IO_file_close(no_stream));
  CRASHES(_IO_file_close_it(no_stream));
  CRASHES(_IO_proc_close(no_stream));
}

/// Nothing is logged: the mask lets no message pass that is not an emergency.
void logs() {
  setlogmask(LOG_MASK(LOG_EMERG));
  va_list none{};
  RUN(openlog(nothing, 0, -1));
  RUN(syslog(LOG_DEBUG, nothing));
  RUN(vsyslog(LOG_DEBUG, nothing, none));
  RUN(__syslog_chk(LOG_DEBUG, -1, nothing));
  RUN(__vsyslog_chk(LOG_DEBUG, -1, nothing, none));
  RUN(closelog());
  RUN(closelog());
}

void sockets() {
  int pair[2];
  CALL(socket(-1, -1, -1));
  CALL(socket(AF_UNIX, SOCK_STREAM, -1));
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, no_pair));
  CALL(socketpair(-1, SOCK_STREAM, 0, pair));
  CALL(accept(-1, nullptr, nullptr));
  CALL(accept(0, nullptr, nullptr));
  CALL(accept4(kFar, nullptr, nullptr, -1));
  sockaddr_un nowhere{AF_UNIX, "/nowhere"};
  CALL(ioctl(-1, TIOCGPTPEER, 0));
  CALL(ioctl(0, _IOWR('d', 0x2d, pair), nullptr));
  CALL(ioctl(kFar, _IOR('|', 0x05, int), nullptr));
  CALL(getsockopt(-1, SOL_SOCKET, 77, nullptr, nullptr));
  CALL(getsockopt(0, -1, -1, nullptr, nullptr));
  CALL(read(-1, no_pair, sizeof pair));
  CALL(read(kFar, pair, sizeof pair));
  CALL(__read(-1, no_pair, sizeof pair));
  CALL(__read_chk(-1, pair, 1, sizeof pair));
  CALL(bind(-1, nullptr, 0));
  CALL(bind(kFar, reinterpret_cast<sockaddr*>(&nowhere), sizeof nowhere));
  CALL(connect(-1, nullptr, 0));
  CALL(connect(0, reinterpret_cast<sockaddr*>(&nowhere), 0));
  CALL(recvmsg(-1, nullptr, 0));
  CALL(recvmsg(0, nullptr, 0));
  CALL(recvmmsg(-1, nullptr, UINT_MAX, 0, nullptr));
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  CALL(recvmsg(pair[0], nullptr, MSG_DONTWAIT));
  CALL(recvmmsg(pair[0], nullptr, 0, MSG_DONTWAIT, nullptr));
  CALL(accept(pair[0], nullptr, nullptr));
  close(pair[0]);
  close(pair[1]);
  CALL(pipe(no_pair));
  CALL(__pipe(no_pair));
  CALL(pipe2(pair, -1));
  CALL(eventfd(0, -1));
  CALL(timerfd_create(-1, 0));
  CALL(timerfd_create(CLOCK_MONOTONIC, -1));
  sigset_t set;
  sigemptyset(&set);
  CALL(signalfd(0, &set, 0));
  CALL(signalfd(-1, &set, -1));
  CALL(signalfd(kFar, &set, 0));
  CALL(epoll_create(-1));
  CALL(epoll_create1(-1));
  CALL(inotify_init1(-1));
  CALL(fanotify_init(~0u, ~0u));
  CALL(pidfd_open(-1, 0));
  CALL(pidfd_getfd(-1, -1, 0));
}

void children() {
  int status = 77;
  pid_t pid = 77;
  char* nothing[] = {nullptr};
  CALL(wait(nullptr));
  CALL(__wait(&status));
  CALL(waitpid(-1, nullptr, 0));
  CALL(waitpid(0x7fffffff, &status, WNOHANG));
  CALL(waitpid(INT_MIN, &status, 0));
  CALL(__waitpid(-1, nullptr, -1));
  CALL(wait3(nullptr, WNOHANG, nullptr));
  CALL(wait4(1, nullptr, 0, nullptr));
  CALL(waitid(static_cast<idtype_t>(99), 0, nullptr, WEXITED));
  CALL(waitid(P_PID, 1, nullptr, WEXITED));
  CALL(waitid(P_ALL, 0, nullptr, 0));
  CALL(clone(nullptr, nullptr, 0, nullptr));
  CALL(__clone(nullptr, nullptr, -1, nullptr));
  CALL(posix_spawn(nullptr, "/nonexistent", nullptr, nullptr, nothing, nothing));
  CALL(posix_spawn(&pid, "/", nullptr, nullptr, nothing, nothing));
  CALL(posix_spawnp(&pid, "", nullptr, nullptr, nothing, nothing));
  CALL(pid);
  CALL(system(nullptr));
  CALL(system("exit 3"));
  CALL(syscall(SYS_wait4, -1, nullptr, 0, nullptr));
  CALL(syscall(SYS_clone3, 1, 64));
  CALL(syscall(SYS_execve, nullptr, nullptr, nullptr));
}

void numbers() {
  CALL(syscall(-1));
  CALL(syscall(999999));
  CALL(syscall(SYS_close, -1));
  CALL(syscall(SYS_close, kFar));
  CALL(syscall(SYS_close_range, 10, 5, 0));
  CALL(syscall(SYS_openat, -1, nullptr, 0));
  CALL(syscall(SYS_openat2, AT_FDCWD, "x", nullptr, huge));
  CALL(syscall(SYS_dup, -1));
  CALL(syscall(SYS_dup3, -1, -1, -1));
  CALL(syscall(SYS_dup3, 0, 0, 0));
  CALL(syscall(SYS_fcntl, -1, F_DUPFD, 0));
  CALL(syscall(SYS_pipe2, nullptr, 0));
  CALL(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, nullptr));
  CALL(syscall(SYS_recvmsg, 0, nullptr, 0));
  CALL(syscall(SYS_recvmmsg, -1, nullptr, 5, 0, nullptr));
  CALL(syscall(SYS_bpf, -1, nullptr, 0));
  CALL(syscall(SYS_clone3, nullptr, 0));
  CALL(syscall(SYS_io_uring_setup, 0, nullptr));
  CALL(syscall(SYS_io_uring_enter, -1, 1, 1, 1, nullptr, 0));
  CALL(syscall(SYS_signalfd4, -1, nullptr, 0, 0));
  CALL(syscall(SYS_landlock_create_ruleset, nullptr, 0, -1));
  CALL(syscall(SYS_gettid) > 0);
  CALL(syscall(SYS_futex, nullptr, -1, 0, nullptr, nullptr, 0));
}

void heap() {
  CALL(malloc(huge));
  CALL(malloc(half + 1));
  CALL(calloc(half, 4));
  CALL(calloc(huge, huge));
  CALL(realloc(nothing, huge));
  CALL(reallocarray(nothing, half, 3));
  CALL(reallocarray(nothing, huge, 1));
  CALL(memalign(64, huge));
  CALL(memalign(half, 10));
  CALL(aligned_alloc(64, huge));
  CALL(aligned_alloc(half + 1, 64));
  CALL(valloc(huge));
  CALL(pvalloc(huge));
  CALL(__libc_malloc(huge));
  CALL(__libc_calloc(huge, 2));
  CALL(__libc_realloc(nothing, huge));
  CALL(__libc_memalign(64, huge));
  CALL(__libc_valloc(huge));
  CALL(__libc_pvalloc(huge));
  RUN(__libc_free(nothing));
  void* block = name;
  CALL(posix_memalign(&block, odd, 10));
  CALL(posix_memalign(&block, 0, 10));
  CALL(posix_memalign(&block, 64, huge));
  CALL(block == name);
  RUN(free(nothing));
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{100000}}) {
    CALL(block = malloc(bytes));
    CALL(realloc(block, huge));  // which stays as it is
    CALL(reallocarray(block, huge, 8));
    RUN(free(block));
    CALL(block = calloc(bytes, 0));
    RUN(free(block));
    CALL(block = realloc(nothing, bytes));
    CALL(realloc(block, 0));
    CALL(block = aligned_alloc(64, bytes));
    RUN(free(block));
    CALL(posix_memalign(&block, 64, bytes));
    RUN(free(block));
    CALL(block = operator new(bytes));
    RUN(operator delete(block));
    CALL(block = operator new[](bytes, std::align_val_t{64}));
    RUN(operator delete[](block, std::align_val_t{64}));
  }
  CALL(operator new(huge, std::nothrow));
  CALL(operator new[](huge, std::nothrow));
  // libstdc++ 12 rounds these sizes up to 0, and returns a block.
  CALL(block = operator new (huge, std::align_val_t{64}, std::nothrow));
  RUN(free(block));
  CALL(block = operator new[](huge, std::align_val_t{64}, std::nothrow));
  RUN(free(block));
  THROWS(operator new(huge));
  THROWS(operator new[](huge));
  block = nullptr;
  THROWS(block = operator new (huge, std::align_val_t{64}));
  RUN(free(block));
  block = nullptr;
  THROWS(block = operator new[](huge, std::align_val_t{64}));
  RUN(free(block));
  void* volatile none = nothing;
  RUN(operator delete(none));
  RUN(operator delete(none, std::nothrow));
  RUN(operator delete(none, huge));
  RUN(operator delete (none, std::align_val_t{64}));
  RUN(operator delete[](none));
  RUN(operator delete[](none, huge));
  RUN(operator delete[](none, huge, std::align_val_t{64}));
  RUN(operator delete (none, huge, std::align_val_t{64}));
  RUN(operator delete (none, std::align_val_t{64}, std::nothrow));
  RUN(operator delete[](none, std::align_val_t{64}));
  RUN(operator delete[](none, std::align_val_t{64}, std::nothrow));
  RUN(operator delete[](none, std::nothrow));
}

void* idle(void*) { return nullptr; }
int idle_c11(void*) { return 0; }

void threads() {
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, size_t{1} << 46);
  CALL(pthread_create(&thread, &attributes, idle, nullptr));
  CALL(pthread_join(pthread_self(), nullptr));
  CALL(pthread_tryjoin_np(pthread_self(), nullptr));
  timespec past{0, 0}, unfit{0, -1};
  CALL(pthread_timedjoin_np(pthread_self(), nullptr, &past));
  CALL(pthread_clockjoin_np(pthread_self(), nullptr, -1, &past));
  CALL(thrd_join(thrd_current(), nullptr));
  pthread_t* volatile nowhere = nullptr;
  CRASHES(pthread_create(nowhere, nullptr, idle, nullptr));
  CRASHES(pthread_join(0, nullptr));
  CRASHES(pthread_detach(0));
  CRASHES(thrd_join(0, nullptr));
  CRASHES(thrd_detach(0));
  CRASHES(thrd_create(nowhere, idle_c11, nullptr));
  CALL(pthread_create(
      &thread, nullptr, [](void*) -> void* { return usleep(200000), nullptr; }, nullptr));
  CALL(pthread_tryjoin_np(thread, nullptr));
  CALL(pthread_timedjoin_np(thread, nullptr, &past));
  CALL(pthread_timedjoin_np(thread, nullptr, &unfit));
  CALL(pthread_join(thread, nullptr));
  thrd_t other;
  CALL(thrd_create(&other, idle_c11, nullptr));
  CALL(thrd_join(other, nullptr));
  CALL(pthread_create(
      &thread, nullptr, [](void*) -> void* { return usleep(200000), nullptr; }, nullptr));
  CALL(pthread_detach(thread));
  CALL(pthread_detach(thread));
  CALL(pthread_join(thread, nullptr));
  usleep(300000);
}

void process() {
  char* arguments[] = {name, nullptr};
  CALL(execve(nothing, arguments, environ));
  CALL(execve("/nonexistent", arguments, environ));
  CALL(execv("", arguments));
  CALL(execvp("", arguments));
  CALL(execvpe("no-such-program-anywhere", arguments, environ));
  CALL(execl("/nonexistent", "x", "y", nullptr));
  CALL(execlp("/dev/null", "x", nullptr));
  CALL(execle("/nonexistent", "x", nullptr, environ));
  CALL(fexecve(-1, arguments, environ));
  CALL(fexecve(0, arguments, environ));
  CALL(execveat(-1, "x", arguments, environ, 0));
  CALL(execveat(AT_FDCWD, "/nonexistent", arguments, environ, -1));
  CALL(unshare(-1));
  CALL(prctl(-1, -1L, -1L, -1L, -1L));
  CALL(prctl(PR_SET_SECCOMP, 99, nullptr));
  CALL(syscall(SYS_prctl, PR_SET_SECCOMP, 99, 0, 0, 0));
  CALL(syscall(SYS_seccomp, 99, 0, nullptr));
  CALL(syscall(SYS_seccomp, 1, -1, nullptr));
  CRASHES(dlclose(nothing));
  CALL(setrlimit(static_cast<__rlimit_resource_t>(99), reinterpret_cast<rlimit*>(8)));
  CALL(setrlimit(RLIMIT_AS, reinterpret_cast<rlimit*>(8)));
  CALL(setrlimit64(RLIMIT_AS, reinterpret_cast<rlimit64*>(8)));
  CALL(prlimit(-1, RLIMIT_AS, nullptr, nullptr));
  CALL(prlimit(0, RLIMIT_AS, reinterpret_cast<rlimit*>(8), nullptr));
  CALL(prlimit64(0, RLIMIT_DATA, reinterpret_cast<rlimit64*>(8), nullptr));
  CALL(setenv("", "a", 1));
  CALL(setenv(static_cast<const char*>(nothing), "a", 1));
  CALL(setenv("PYTEST_CURRENT_TEST=", "a", 1));
  CALL(unsetenv(""));
  CALL(unsetenv("PYTEST_CURRENT_TEST="));
  static char nameless[] = "";
  CALL(putenv(nameless));
  CALL(madvise(reinterpret_cast<void*>(8), 4096, MADV_DONTFORK));
  CALL(madvise(nullptr, 0, -1));
  CALL(sigaction(-1, nullptr, nullptr));
  CALL(signal(99, SIG_DFL) == SIG_ERR);
  CALL(bsd_signal(-1, SIG_DFL) == SIG_ERR);
  CALL(ssignal(0, SIG_DFL) == SIG_ERR);
  CALL(sysv_signal(65, SIG_DFL) == SIG_ERR);
  CALL(__sysv_signal(SIGSTOP, SIG_IGN) == SIG_ERR);
  CALL(mlockall(0));
  CALL(mlockall(-1));
  CALL(munlockall());
}

/// Timers, shared memory, libraries.
void handles() {
  timer_t timer{};
  sigevent event{};
  event.sigev_notify = 99;
  CALL(timer_create(-77, nullptr, &timer));
  CALL(timer_create(CLOCK_MONOTONIC, &event, &timer));
  CALL(timer_delete(reinterpret_cast<timer_t>(0x7ffffff)));
  CALL(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600));
  CALL(shmget(0x7ab1, SIZE_MAX, IPC_CREAT | 0600));
  CALL(shmget(0x7ab1, 1, 0));
  CALL(shmat(-1, nullptr, 0));
  CALL(shmdt(nullptr));
  CALL(shmdt(&timer));
  CALL(shmctl(-1, IPC_RMID, nullptr));
  CALL(shmctl(-1, 77, nullptr));
  CALL(mmap(nullptr, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
  CALL(mmap(nullptr, huge, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
  CALL(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, -1, 0) == MAP_FAILED);
  CALL(mmap(&timer, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
  CALL(mmap64(nullptr, 4096, 0x7fff, 0, 99, 1) == MAP_FAILED);
  CALL(munmap(nullptr, 0));
  CALL(munmap(&timer, 1));
  CALL(munmap(reinterpret_cast<void*>(4096), huge));
  CALL(mremap(nullptr, 4096, 4096, 0) == MAP_FAILED);
  CALL(mremap(nullptr, 0, 4096, MREMAP_MAYMOVE) == MAP_FAILED);
  CALL(mremap(&timer, 4096, 4096, 77) == MAP_FAILED);
  CALL(shmctl(-1, IPC_STAT, nullptr));
  CALL(dlopen("no-such-library.so", RTLD_NOW));
  CALL(dlopen("/dev/null", RTLD_NOW));
  CALL(dlopen("libm.so.6", 0));
  CALL(dlopen(nullptr, RTLD_NOW) == nullptr);
  CALL(dlmopen(-77, "libm.so.6", RTLD_NOW));
}

void waiting() {
  const timespec no_time{0, -1}, short_time{0, 1};
  timespec* volatile no_timespec = nullptr;
  pollfd* volatile no_polled = nullptr;
  epoll_event* volatile no_events = nullptr;
  sigset_t* volatile no_signals = nullptr;
  sembuf* volatile no_operations = nullptr;
  pollfd polled{kFar, POLLIN, 0};
  CALL(nanosleep(no_timespec, no_timespec));
  CALL(nanosleep(&no_time, nullptr));
  CALL(clock_nanosleep(CLOCK_MONOTONIC, 0, no_timespec, nullptr));
  CALL(clock_nanosleep(kFar, 0, &short_time, nullptr));
  CALL(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &no_time, nullptr));
  CALL(thrd_sleep(no_timespec, nullptr));
  CALL(poll(no_polled, 1, 1));
  CALL(poll(&polled, 1, 1));
  CALL(poll(no_polled, 0, 1));
  CALL(__poll(no_polled, 1, 1));
  CALL(__poll_chk(no_polled, 1, 1, sizeof polled));
  CRASHES(__poll_chk(&polled, 2, 1, sizeof polled));
  CALL(epoll_wait(kFar, no_events, 1, 1));
  CALL(epoll_wait(-1, no_events, 0, -1));
  CALL(epoll_pwait(kFar, no_events, 1, 1, no_signals));
  CALL(epoll_pwait2(kFar, no_events, 1, no_timespec, no_signals));
  CALL(epoll_pwait2(kFar, no_events, 1, &no_time, no_signals));
  CALL(semtimedop(kFar, no_operations, 0, no_timespec));
  CALL(semtimedop(kFar, no_operations, 1, &short_time));
  CALL(sigtimedwait(no_signals, nullptr, &short_time));
}

/// Where no descriptor is to be had every hooked function says so, and leaves things as they are.
void exhaustion() {
  rlimit before, few;
  getrlimit(RLIMIT_NOFILE, &before);
  int next = dup(0);
  close(next);
  few = {static_cast<rlim_t>(next), before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  int pair[2] = {-5, -5};
  int master = -5, slave = -5;
  CALL(open("/dev/null", O_RDONLY));
  CALL(openat(AT_FDCWD, "/dev/null", O_RDONLY));
  CALL(creat("/dev/null", 0600));
  CALL(dup(0));
  CALL(dup2(0, next));
  CALL(dup3(0, next, 0));
  CALL(fcntl(0, F_DUPFD, 0));
  CALL(fopen("/dev/null", "r"));
  CALL(opendir("/"));
  CALL(popen("true", "r"));
  CALL(tmpfile());
  CALL(tmpfile64());
  CALL(setmntent("/dev/null", "r"));
  CALL(socket(AF_UNIX, SOCK_STREAM, 0));
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  CALL(pipe(pair));
  CALL(pair[0]);
  CALL(eventfd(0, 0));
  CALL(epoll_create1(0));
  CALL(memfd_create("x", 0));
  CALL(inotify_init());
  CALL(timerfd_create(CLOCK_MONOTONIC, 0));
  CALL(pidfd_open(getpid(), 0));
  CALL(openpty(&master, &slave, nullptr, nullptr, nullptr));
  CALL(forkpty(&master, nullptr, nullptr, nullptr));
  CALL(master);
  CALL(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY, 0));
  CALL(syscall(SYS_dup, 0));
  CALL(syscall(SYS_pipe2, pair, 0));
  setrlimit(RLIMIT_NOFILE, &before);
  CALL(close(open("/dev/null", O_RDONLY)));
}

}  // namespace

int main() {
  opening();
  closing();
  streams();
  stream_parts();
  logs();
  sockets();
  children();
  numbers();
  heap();
  threads();
  process();
  handles();
  waiting();
  exhaustion();
  return 0;
}
