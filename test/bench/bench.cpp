// What scripts/bench measures: one operation in a loop, timed from inside so that start and end of the process do not
// count. Built with -O2 and without frame pointers, as distributions build.
//
//     bench heap DEPTH THREADS PATHS COUNT   malloc+free at a stack depth; PATHS 1: in one place, else over that many
//                                            distinct call paths (the way down is then part of the operation)
//     bench coroutine DEPTH COUNT            the same in one place, on a stack of makecontext's
//     bench live BLOCKS COUNT                malloc+free while so many blocks are live, of which one is exchanged each
//                                            time
//     bench file|socket|pipe|dup|stream|folder|thread COUNT
//                                            open+close, socket+close, pipe+2 close, dup+close, fopen+fclose,
//                                            opendir+closedir, pthread_create+pthread_join
//     bench spawn COUNT NAME=VALUE… -- CMD…  start of CMD with these variables, to its end
//     bench once NAME=VALUE… -- CMD…         the same, once and without its output; prints its peak memory in KiB too
//                                            (seen from here: from a larger process it would count that one's)
//
// Prints nanoseconds per operation (with several threads: of each thread's own time).
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

extern char** environ;

namespace {

constexpr int kDeepest = 60;
constexpr size_t kSizes[] = {24, 40, 100, 500};

double now_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

/// Keeps the compiler from removing a block nobody uses, and from turning the call before it into a tail call.
void use(void* block) { asm volatile("" : : "r"(block) : "memory"); }

__attribute__((noinline)) void churn(long count) {
  for (long i = 0; i < count; i++) {
    void* block = malloc(kSizes[i & 3]);
    use(block);
    free(block);
  }
}

/// One distinct function per level; two distinct call sites in each, so that ten levels make 1,024 call paths.
template <int kLevel>
__attribute__((noinline)) void descend(unsigned path, long count) {
  if constexpr (kLevel == 0) {
    churn(count);
  } else if (path & 1) {
    descend<kLevel - 1>(path >> 1, count);
    use(&count);
  } else {
    descend<kLevel - 1>(path >> 1, count);
    use(&path);
  }
}

using Descend = void (*)(unsigned, long);
template <int... kLevels>
constexpr Descend descend_at(int depth, std::integer_sequence<int, kLevels...>) {
  constexpr Descend table[] = {descend<kLevels>...};
  return table[depth];
}

struct HeapJob {
  Descend descend;
  long paths;
  long count;
  double ns = 0;
};

/// The measured part of `heap` with several paths, by itself (for test_instructions.py).
__attribute__((noinline)) void over_paths(const HeapJob& job) {
  for (long i = 0; i < job.count; i++) job.descend(static_cast<unsigned>(i * 7919 % job.paths), 1);
  use(nullptr);
}

void* run_heap(void* argument) {
  auto* job = static_cast<HeapJob*>(argument);
  // A call in which the program's allocations are followed another way: afterwards all is as before.
  if (FILE* stream = fopen("/dev/null", "r")) fclose(stream);
  if (job->paths == 1) {
    job->descend(0, 1000);  // warm
    double start = now_ns();
    job->descend(0, job->count);
    job->ns = (now_ns() - start) / static_cast<double>(job->count);
    return nullptr;
  }
  // The same call twice: from another place these would be other paths.
  double start = 0;
  for (bool warm : {false, true}) {
    HeapJob part = *job;
    if (!warm) part.count = 8 * job->paths;
    start = now_ns();
    over_paths(part);
  }
  job->ns = (now_ns() - start) / static_cast<double>(job->count);
  return nullptr;
}

double heap(int depth, int threads, long paths, long count) {
  // main, run_heap and churn are frames too
  Descend entry = descend_at(depth - 4, std::make_integer_sequence<int, kDeepest>());
  std::vector<HeapJob> jobs(static_cast<size_t>(threads), HeapJob{entry, paths, count});
  std::vector<pthread_t> others(jobs.size());
  for (size_t i = 1; i < jobs.size(); i++)
    if (pthread_create(&others[i], nullptr, run_heap, &jobs[i])) abort();
  run_heap(&jobs[0]);
  double sum = jobs[0].ns;
  for (size_t i = 1; i < jobs.size(); i++) {
    pthread_join(others[i], nullptr);
    sum += jobs[i].ns;
  }
  return sum / static_cast<double>(threads);
}

HeapJob* g_coroutine_job;
double coroutine(int depth, long count) {
  static ucontext_t caller, context;
  std::vector<char> stack(256 * 1024);
  HeapJob job{descend_at(depth - 4, std::make_integer_sequence<int, kDeepest>()), 1, count};
  g_coroutine_job = &job;
  getcontext(&context);
  context.uc_stack.ss_sp = stack.data();
  context.uc_stack.ss_size = stack.size();
  context.uc_link = &caller;
  makecontext(
      &context, [] { run_heap(g_coroutine_job); }, 0);
  swapcontext(&caller, &context);
  return job.ns;
}

__attribute__((noinline)) double file(long count) {
  double start = now_ns();
  for (long i = 0; i < count; i++) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || close(fd)) abort();
  }
  return (now_ns() - start) / static_cast<double>(count);
}

/// Exchanges blocks among `blocks` live ones, from here and there.
double live(long blocks, long count) {
  std::vector<void*> held(static_cast<size_t>(blocks));
  for (size_t i = 0; i < held.size(); i++) held[i] = malloc(kSizes[i & 3]);
  unsigned long random = 1;
  double start = now_ns();
  for (long i = 0; i < count; i++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    void*& block = held[(random >> 33) % held.size()];
    free(block);
    block = malloc(kSizes[i & 3]);
  }
  return (now_ns() - start) / static_cast<double>(count);
}

/// A descriptor or two, a stream or a child, taken and given back.
template <class Pair>
__attribute__((noinline)) double descriptors(long count, Pair pair) {
  double start = now_ns();
  for (long i = 0; i < count; i++)
    if (!pair()) abort();
  return (now_ns() - start) / static_cast<double>(count);
}

double family(const std::string& what, long count) {
  if (what == "socket") return descriptors(count, [] { return close(socket(AF_UNIX, SOCK_STREAM, 0)) == 0; });
  if (what == "pipe")
    return descriptors(count, [] {
      int ends[2];
      return pipe(ends) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0;
    });
  if (what == "dup") return descriptors(count, [] { return close(dup(0)) == 0; });
  if (what == "stream")
    return descriptors(count, [] {
      FILE* stream = fopen("/dev/null", "r");
      return stream && fclose(stream) == 0;
    });
  if (what == "folder")
    return descriptors(count, [] {
      DIR* folder = opendir("/");
      return folder && closedir(folder) == 0;
    });
  if (what == "child")
    return descriptors(count, [] {
      pid_t child = fork();
      if (child == 0) syscall(SYS_exit_group, 0);
      return waitpid(child, nullptr, 0) == child;
    });
  return -1;
}

void* return_at_once(void* argument) { return argument; }

__attribute__((noinline)) double thread(long count) {
  double start = now_ns();
  for (long i = 0; i < count; i++) {
    pthread_t one;
    if (pthread_create(&one, nullptr, return_at_once, nullptr) || pthread_join(one, nullptr)) abort();
  }
  return (now_ns() - start) / static_cast<double>(count);
}

double spawn(long count, char** arguments, const posix_spawn_file_actions_t* actions = nullptr) {
  std::vector<char*> environment;
  for (char** variable = environ; *variable; variable++) environment.push_back(*variable);
  for (; *arguments && strcmp(*arguments, "--"); arguments++) environment.push_back(*arguments);
  environment.push_back(nullptr);
  if (!*arguments || !*++arguments) abort();
  double start = now_ns();
  for (long i = 0; i < count; i++) {
    pid_t pid;
    int status;
    if (posix_spawnp(&pid, arguments[0], actions, nullptr, arguments, environment.data())) abort();
    if (waitpid(pid, &status, 0) != pid || status) abort();
  }
  return (now_ns() - start) / static_cast<double>(count);
}

/// Nanoseconds; `peak_kib` receives the peak memory.
double once(char** arguments, long& peak_kib) {
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
  double ns = spawn(1, arguments, &quiet);
  rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  peak_kib = usage.ru_maxrss;
  return ns;
}

}  // namespace

int main(int argc, char** argv) {
  std::string what = argc > 2 ? argv[1] : "";
  double ns = 0;
  if (what == "heap" && argc == 6) {
    int depth = atoi(argv[2]), threads = atoi(argv[3]);
    if (depth < 4 || depth - 4 >= kDeepest || threads < 1) return 2;
    ns = heap(depth, threads, atol(argv[4]), atol(argv[5]));
  } else if (what == "coroutine" && argc == 4) {
    int depth = atoi(argv[2]);
    if (depth < 4 || depth - 4 >= kDeepest) return 2;
    ns = coroutine(depth, atol(argv[3]));
  } else if (what == "once" && argc > 3) {
    long peak_kib;
    ns = once(argv + 2, peak_kib);
    printf("%ld ", peak_kib);
  } else if (what == "live" && argc == 4) {
    ns = live(atol(argv[2]), atol(argv[3]));
  } else if (argc == 3 && (ns = family(what, atol(argv[2]))) >= 0) {
  } else if (what == "file" && argc == 3) {
    ns = file(atol(argv[2]));
  } else if (what == "thread" && argc == 3) {
    ns = thread(atol(argv[2]));
  } else if (what == "spawn" && argc > 4) {
    ns = spawn(atol(argv[2]), argv + 3);
  } else {
    fputs("usage: see the head of bench.cpp\n", stderr);
    return 2;
  }
  printf("%.2f\n", ns);
  return 0;
}
