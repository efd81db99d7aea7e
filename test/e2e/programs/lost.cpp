// Blocks that the program can still get at, in every way that there is, and blocks that it has lost. A line's marker
// says what the report is to say of its blocks.
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "unfreed/unfreed.h"

namespace {

struct Link {
  Link* next;
  char rest[56];
};
struct First {
  virtual ~First() = default;
  long a = 1;
};
struct Second {
  virtual ~Second() = default;
  long b = 2;
};
struct Both : First, Second {
  long c = 3;
};
struct Counted {
  ~Counted() { ++destroyed; }
  static inline int destroyed;
  long value;
};

Link* g_list;
Link* g_ring;
void* g_static_array[6];
void* g_end;
char* g_middle;
Second* g_second;
Counted* g_counted;
void* g_tagged;
struct [[gnu::packed]] {
  char before;
  void* pointer;
} g_packed;
uintptr_t g_boxed, g_boxed_middle;
thread_local void* t_own;
pthread_key_t g_key;
sem_t g_ready, g_go;
ucontext_t g_main, g_coroutine;
char* g_stack;

[[gnu::noinline]] void* make(size_t bytes) {
  void* block = malloc(bytes);
  if (!block) abort();
  memset(block, 0, bytes);
  return block;
}

constexpr size_t kPage = 4096;
void* map_page() {
  void* page = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) abort();
  return page;
}

/// What earlier calls have left on the stack.
[[gnu::noinline]] void wipe_stack() {
  volatile char waste[16384];
  for (volatile char& one : waste) one = 0;
}

[[gnu::noinline]] void leave() {
  for (int i = 0; i < 3; ++i) {
    auto* link = static_cast<Link*>(make(sizeof(Link)));  // @reachable list
    link->next = g_list;
    g_list = link;
  }
  g_static_array[2] = make(100);                                                   // @reachable array
  t_own = make(101);                                                               // @reachable thread_local
  pthread_setspecific(g_key, make(102));                                           // @reachable key
  g_middle = static_cast<char*>(make(400)) + 200;                                  // @possibly middle
  g_second = new Both;                                                             // @reachable second_base
  g_counted = new Counted[5];                                                      // @reachable cookie
  g_tagged = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(make(103)) | 3);  // @reachable tag
  // A page that is kept from children, as V8 keeps its heap, and one of code, where a pointer is an instruction's
  // operand.
  auto* page = static_cast<void**>(map_page());
  madvise(page, kPage, MADV_DONTFORK);
  page[3] = make(111);  // @reachable kept_from_children
  page = static_cast<void**>(map_page());
  madvise(page, kPage, MADV_WIPEONFORK);
  page[3] = make(121);  // @reachable wiped_in_children
  auto* code = static_cast<char*>(map_page());
  void* operand = make(112);  // @reachable operand
  memcpy(code + 5, &operand, sizeof operand);
  mprotect(code, kPage, PROT_READ | PROT_EXEC);
  g_ring = static_cast<Link*>(make(sizeof(Link)));  // @reachable ring
  g_ring->next = g_ring;
  for (int i = 0; i < 7; ++i) (void)make(104);           // @lost plain
  auto* outer = static_cast<Link*>(make(sizeof(Link)));  // @lost outer
  outer->next = static_cast<Link*>(make(sizeof(Link)));  // @indirectly inner
  auto* one = static_cast<Link*>(make(sizeof(Link)));    // @lost circle
  one->next = static_cast<Link*>(make(sizeof(Link)));    // @indirectly circle_too
  one->next->next = one;
  (void)make(3 << 20);                                                                       // @lost large
  g_static_array[3] = make(5 << 20);                                                         // @reachable large_kept
  g_packed.pointer = make(117);                                                              // @possibly packed
  g_boxed = reinterpret_cast<uintptr_t>(make(118)) | uintptr_t{0x1fff7} << 47;               // @reachable boxed
  g_boxed_middle = (reinterpret_cast<uintptr_t>(make(119)) + 64) | uintptr_t{0xfffb} << 48;  // @possibly boxed_middle
}

/// A page of the program's variables, as hardened programs protect them once they are set.
struct alignas(kPage) Protected {
  void* pointer;
  char rest[kPage - sizeof(void*)];
} g_protected{nullptr, "not zero, and so in the file"};

void** map_shared(int file, int protection) {
  if (file < 0 || ftruncate(file, kPage) != 0) return nullptr;
  void* view = mmap(nullptr, kPage, protection, MAP_SHARED, file, 0);
  return view == MAP_FAILED ? nullptr : static_cast<void**>(view);
}

/// Memory that the program has written to and may no longer write to, or not even read.
[[gnu::noinline]] void leave_protected() {
  g_protected.pointer = make(122);  // @reachable protected_variable
  mprotect(&g_protected, kPage, PROT_READ);
  int file = open("/proc/self/exe", O_RDONLY);
  auto* page = static_cast<void**>(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0));
  page[5] = make(123);  // @reachable protected_file
  mprotect(page, kPage, PROT_READ);
  close(file);
  file = memfd_create("views", 0);
  void** view = map_shared(file, PROT_READ | PROT_WRITE);
  if (!view || !map_shared(file, PROT_READ)) abort();
  view[7] = make(124);  // @reachable second_view
  munmap(view, kPage);
  close(file);
  page = static_cast<void**>(map_page());
  page[9] = make(125);  // @reachable unreadable
  mprotect(page, kPage, PROT_NONE);
  page = static_cast<void**>(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  page[11] = make(127);  // @reachable unreadable_shared
  mprotect(page, kPage, PROT_NONE);
  // A guard, below what coroutines use, in the middle of one mapping; before Linux 6.13 there are none.
  constexpr int kGuard = 102;  // MADV_GUARD_INSTALL
  page = static_cast<void**>(mmap(nullptr, 3 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  madvise(reinterpret_cast<char*>(page) + kPage, kPage, kGuard);
  page[2 * kPage / sizeof(void*)] = make(130);  // @reachable behind_a_guard
  file = static_cast<int>(syscall(SYS_memfd_secret, 0));
  void** secret = map_shared(file, PROT_READ | PROT_WRITE);  // not every kernel has it
  (secret ? *secret : g_static_array[4]) = make(126);        // @reachable secret
  if (file >= 0) close(file);
}

/// glibc still points to what it left of the chunk that it split last, when that is part of a block again.
[[gnu::noinline]] void leave_split() {
  constexpr size_t kSmall = 600, kLarge = 3000;
  void* cached[7];  // as many as a thread's cache has of a size
  for (void*& one : cached) one = make(kSmall);
  void* large = make(kLarge);
  auto place = reinterpret_cast<uintptr_t>(large);
  void* behind = make(16);
  free(large);
  // From other free chunks, until there are none left but that one.
  std::vector<void*> others;
  others.reserve(10'000);
  void* part = make(kSmall);
  for (; reinterpret_cast<uintptr_t>(part) != place; part = make(kSmall)) others.push_back(part);
  for (void* one : cached) free(one);
  free(part);
  if (reinterpret_cast<uintptr_t>(make(kLarge)) != place) abort();  // @lost split
  for (void* one : others) free(one);
  free(behind);
}

char* guarded(void* memory) {
  mprotect(memory, kPage, PROT_NONE);
  return static_cast<char*>(memory) + kPage;
}

/// Blocks in which a page cannot be read, as coroutine libraries allocate stacks: the rest is looked at.
[[gnu::noinline]] void leave_guarded() {
  g_static_array[5] = aligned_alloc(kPage, 3 * kPage);                        // @reachable guarded
  *reinterpret_cast<void**>(guarded(g_static_array[5]) + kPage) = make(128);  // @reachable in_guarded
  void* lost = aligned_alloc(kPage, 3 * kPage);                               // @lost guarded_too
  auto* place = reinterpret_cast<void**>(guarded(lost));
  place[0] = lost;
  place[1] = make(129);  // @indirectly in_guarded_too
  // All of an empty block of talloc's is in front of what its owner knows.
  g_end = static_cast<char*>(make(96)) + 96;  // @possibly end
}

/// All that the kernel knows of a timer is where its data is; and so it is with a stack for signal handlers.
[[gnu::noinline]] void leave_to_the_kernel() {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGURG;
  event.sigev_value.sival_ptr = make(120);  // @reachable timer
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) abort();
  stack_t stack{};
  stack.ss_size = 1 << 16;
  stack.ss_sp = make(stack.ss_size);  // @reachable signal_stack
  if (sigaltstack(&stack, nullptr) != 0) abort();
}

/// All that is known of a connection is what the kernel returns with its events.
[[gnu::noinline]] void watch(int fds, void* data) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = data;
  if (epoll_ctl(fds, EPOLL_CTL_ADD, eventfd(0, 0), &event) != 0) abort();
}
[[gnu::noinline]] void leave_watched() {
  int fds = epoll_create1(0);
  for (int i = 0; i < 40; ++i) watch(fds, make(116));  // @reachable watched
}

/// Keeps a block in nothing but its own frame.
void* hold(void*) {
  void* volatile mine = make(105);  // @reachable thread_stack
  t_own = make(106);                // @reachable thread_local_of_thread
  (void)make(107);                  // @lost of_thread
  wipe_stack();
  sem_post(&g_ready);
  while (sem_wait(&g_go) != 0) {
  }
  free(mine);
  free(t_own);
  return nullptr;
}

/// Its stack is kept by libc, with all that was on it.
void* pass(void*) {
  void* volatile mine = make(108);  // @lost by_ended_thread
  (void)mine;
  return make(114);  // @reachable result_of_lost_thread
}

[[gnu::noinline]] void* make_argument() {
  return make(115);  // @lost argument_of_thread
}
void* finish(void*) {
  pthread_exit(make(113));  // @reachable result_of_thread
}
void* pass_joined(void*) {
  void* volatile mine = make(110);  // @lost by_joined_thread
  (void)mine;
  return nullptr;
}

void run_coroutine() {
  void* volatile mine = make(109);  // @reachable coroutine
  swapcontext(&g_coroutine, &g_main);
  free(mine);
}

[[gnu::noinline]] void start_coroutine() {
  constexpr size_t kBytes = 128 * 1024;
  g_stack = static_cast<char*>(make(kBytes));  // @reachable coroutine_stack
  getcontext(&g_coroutine);
  g_coroutine.uc_stack.ss_sp = g_stack;
  g_coroutine.uc_stack.ss_size = kBytes;
  makecontext(&g_coroutine, run_coroutine, 0);
  swapcontext(&g_main, &g_coroutine);
}

[[gnu::noinline]] FILE* open_one(const char* path) {
  FILE* file = fopen(path, "r");
  if (!file) abort();
  return file;
}
FILE* g_file;
[[gnu::noinline]] void leave_streams() {
  g_file = open_one("/etc/passwd");
  FILE* lost = fopen("/etc/group", "r");  // @lost_fd stream
  if (!lost || fgetc(lost) == EOF) abort();
}

}  // namespace

// lost [threads] [another-user] [handler] [report PATH] [wait]
int main(int count, char** arguments) {
  pthread_key_create(&g_key, nullptr);
  sem_init(&g_ready, 0, 0);
  sem_init(&g_go, 0, 0);
  leave();
  leave_streams();
  leave_watched();
  leave_protected();
  leave_guarded();
  leave_to_the_kernel();
  leave_split();
  pthread_t holder{};
  for (int at = 1; at < count; ++at) {
    if (!strcmp(arguments[at], "threads")) {
      static pthread_t known;
      pthread_t unknown;
      pthread_create(&unknown, nullptr, pass, nullptr);  // @lost_thread unknown
      // Until it has ended: nobody will join it.
      usleep(200'000);
      unknown = 0;
      pthread_create(&known, nullptr, finish, make_argument());  // @kept_thread known
      pthread_t joined;
      pthread_create(&joined, nullptr, pass_joined, nullptr);
      pthread_join(joined, nullptr);
      pthread_create(&holder, nullptr, hold, nullptr);
      sem_wait(&g_ready);
      start_coroutine();
      usleep(100'000);
    }
    // As servers do that start as root.
    if (!strcmp(arguments[at], "another-user")) {
      constexpr uid_t kNobody = 65534;
      if (geteuid() == 0 && (setgid(kNobody) != 0 || setuid(kNobody) != 0)) abort();
      if (prctl(PR_SET_DUMPABLE, 0) != 0) abort();
    }
    // As Java does: it takes the report signal for its own, and does not expect anybody else to send it.
    if (!strcmp(arguments[at], "handler")) signal(SIGUSR2, [](int) { abort(); });
    wipe_stack();
    if (!strcmp(arguments[at], "report")) unfreed_report(arguments[++at]);
    if (!strcmp(arguments[at], "wait")) {
      puts("ready");
      fflush(stdout);
      for (;;) pause();
    }
  }
  wipe_stack();
  return 0;
}
