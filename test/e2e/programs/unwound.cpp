// Calls into libc that never return: unwound WAY FIFO. The thread is cancelled, an exception passes through, or a
// signal handler jumps out. Each way says what it sees; what it holds at its end stands in test_unwound.py.
#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char* fifo;  // which nobody writes to: opening it waits
static int fd = -1;
static FILE* stream;
static void* volatile kept[10];

__attribute__((noinline)) static void keep() {
  for (auto& block : kept) block = malloc(100);  // @keep
}
__attribute__((noinline)) static int take() {
  return open("/dev/null", O_RDONLY);  // @take
}

// Thread cancellation.
static void keep_at_end(void*) { keep(); }
static void wait_for_request() {
  // Acts at the next cancellation point and no sooner.
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  usleep(100000);
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
}
static void cancel(void* (*routine)(void*)) {
  pthread_t thread;
  pthread_create(&thread, nullptr, routine, nullptr);
  usleep(50000);
  pthread_cancel(thread);
  void* result;
  pthread_join(thread, &result);
  puts(result == PTHREAD_CANCELED ? "cancelled" : "went on");
}
static void* close_one(void*) {
  fd = take();
  wait_for_request();
  close(fd);  // not even begun
  return nullptr;
}
static void* open_stream(void*) {
  pthread_cleanup_push(keep_at_end, nullptr);
  stream = fopen(fifo, "r");
  pthread_cleanup_pop(0);
  return nullptr;
}
static void* reopen_stream(void*) {
  pthread_cleanup_push(keep_at_end, nullptr);
  stream = fopen("/dev/null", "r");  // @stream
  stream = freopen(fifo, "r", stream);
  pthread_cleanup_pop(0);
  return nullptr;
}
static void* end_in_handler(void*) {
  signal(SIGUSR1, [](int) { pthread_exit(PTHREAD_CANCELED); });
  pthread_cleanup_push(keep_at_end, nullptr);
  pthread_t self = pthread_self();
  pthread_t other;
  pthread_create(
      &other, nullptr,
      [](void* target) -> void* {
        usleep(100000);
        pthread_kill(*static_cast<pthread_t*>(target), SIGUSR1);
        return nullptr;
      },
      &self);
  pthread_detach(other);
  stream = fopen(fifo, "r");
  pthread_cleanup_pop(0);
  return nullptr;
}

// Exceptions.
static int throw_at_once(const FTSENT**, const FTSENT**) { throw 1; }
static int take_and_compare(const FTSENT** one, const FTSENT** other) {
  kept[0] = malloc(200);  // @compare
  return strcmp((*one)->fts_name, (*other)->fts_name);
}
static void walk(int options, int (*compare)(const FTSENT**, const FTSENT**)) {
  char root[] = "/proc/self/ns", another[] = "/proc/self/net";
  char* roots[] = {root, another, nullptr};
  try {
    FTS* tree = fts_open(roots, options, compare);  // @walk
    while (fts_read(tree)) {
    }
    puts("walked");
  } catch (int) {
    puts("caught");
  }
}
static void throw_from_close() {
  cookie_io_functions_t functions{};
  functions.close = [](void*) -> int { throw 1; };
  FILE* custom = fopencookie(nullptr, "r", functions);  // @custom
  try {
    fclose(custom);
  } catch (int) {
    puts("caught");
  }
}

// Signal handlers that jump.
static sigjmp_buf place;
template <class Call>
static void jump_out_of(Call call) {
  struct sigaction action {};
  action.sa_handler = [](int) { siglongjmp(place, 1); };
  sigaction(SIGALRM, &action, nullptr);
  if (sigsetjmp(place, 1) == 0) {
    ualarm(100000, 0);
    call();
    puts("returned");
  } else {
    puts("jumped");
  }
}
/// A connection that still has something to send, and waits for that when it is closed.
static int make_lingering() {
  sockaddr_in address{};
  socklen_t bytes = sizeof address;
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int listener = socket(AF_INET, SOCK_STREAM, 0);  // @listener
  bind(listener, reinterpret_cast<sockaddr*>(&address), bytes);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &bytes);
  listen(listener, 1);
  int client = socket(AF_INET, SOCK_STREAM, 0);  // @client
  connect(client, reinterpret_cast<sockaddr*>(&address), bytes);
  static char much[1 << 16];
  while (send(client, much, sizeof much, MSG_DONTWAIT) > 0) {
  }
  linger waits{1, 20};
  setsockopt(client, SOL_SOCKET, SO_LINGER, &waits, sizeof waits);
  return client;
}

// A vfork child has the parent's memory; a signal that the parent got meanwhile comes before vfork returns there.
static void keep_fd(int) {
  fd = open("/dev/null", O_RDONLY);  // @handler
}
static void wait_for_alarm_in_vfork() {
  ualarm(50000, 0);
  pid_t child = vfork();
  if (child == 0) {
    usleep(200000);
    close(0);
    _exit(0);
  }
  waitpid(child, nullptr, 0);
}
static int close_and_wait(void*) {
  usleep(200000);
  close(0);
  return 0;
}
static void wait_for_alarm_in_clone() {
  alignas(16) static char stack[65536];
  ualarm(50000, 0);
  pid_t child = clone(close_and_wait, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr);
  waitpid(child, nullptr, 0);
}

/// Two calls on each level, so that paths differ.
__attribute__((noinline)) static void dup_by(unsigned path, int levels) {
  if (levels == 0) {
    dup2(0, 50);
    close(50);
  } else if (path & 1) {
    dup_by(path >> 1, levels - 1);
  } else {
    dup_by(path >> 1, levels - 1);
  }
  asm volatile("");
}
__attribute__((noinline)) static void keep_at_depth(int levels) {
  if (levels)
    keep_at_depth(levels - 1);
  else
    keep();
  asm volatile("");
}
/// Out of whatever is under way, most often the tracking itself.
static void jump_out_of_everything() {
  struct sigaction action {};
  action.sa_handler = [](int) { siglongjmp(place, 1); };
  sigaction(SIGALRM, &action, nullptr);
  static volatile int jumps;
  static volatile unsigned path;
  if (sigsetjmp(place, 1)) jumps = jumps + 1;
  if (jumps < 1000) {
    ualarm(static_cast<useconds_t>(20 + jumps % 100), 0);
    for (;;) {
      path = path + 1;
      dup_by(path, 12);
    }
  }
  close(50);
  puts("jumped");
  keep_at_depth(100);
}

int main(int argc, char** argv) {
  const char* way = argc > 1 ? argv[1] : "";
  fifo = argc > 2 ? argv[2] : "";
  auto is = [way](const char* name) { return strcmp(way, name) == 0; };
  if (is("cancelled_close")) {
    cancel(close_one);
  } else if (is("cancelled_then_closed")) {
    cancel(close_one);
    close(fd);
    close(fd);  // @again
  } else if (is("cancelled_fopen")) {
    cancel(open_stream);
  } else if (is("cancelled_freopen")) {
    cancel(reopen_stream);
  } else if (is("ended_in_handler")) {
    cancel(end_in_handler);
  } else if (is("thrown")) {
    walk(FTS_PHYSICAL, throw_at_once);
    keep();
  } else if (is("thrown_from_close")) {
    throw_from_close();
    keep();
  } else if (is("called_back")) {
    walk(FTS_PHYSICAL, take_and_compare);
  } else if (is("called_back_without_directory")) {
    walk(FTS_PHYSICAL | FTS_NOCHDIR, take_and_compare);
  } else if (is("jumped_fopen")) {
    jump_out_of([] { stream = fopen(fifo, "r"); });
    keep();
  } else if (is("jumped_close")) {
    fd = make_lingering();
    jump_out_of([] { close(fd); });  // @jumped
    puts(take() == fd ? "the number is free" : "it is still open");
  } else if (is("jumped_close_again")) {
    fd = make_lingering();
    jump_out_of([] { close(fd); });
    close(fd);  // @after
  }
  if (is("signal_in_vfork") || is("signal_in_clone")) {
    signal(SIGALRM, keep_fd);
    is("signal_in_vfork") ? wait_for_alarm_in_vfork() : wait_for_alarm_in_clone();
  } else if (is("jumped_vfork")) {
    jump_out_of(wait_for_alarm_in_vfork);
    take();
  } else if (is("jumped_clone")) {
    jump_out_of(wait_for_alarm_in_clone);
    take();
  } else if (is("jumped_everywhere")) {
    jump_out_of_everything();
  }
  puts("end");
  return 0;
}
