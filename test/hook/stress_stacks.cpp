// Threads that come upon the same new stacks at the same time: each takes two blocks at the end of every one of 1,024
// paths, in step with the others, and processes forked in the middle take them alone. Nothing is freed. In the end:
//   parent|child PID paths N blocks B    blocks of each kind and path
#include <sched.h>

#include <new>

#include "stress_support.h"

namespace {

constexpr unsigned kLevels = 10, kPaths = 1u << kLevels;

/// The same call takes a block by malloc and one by new: two sites with one stack.
[[gnu::noinline]] void take_blocks() {
  using Take = void* (*)(size_t);
  for (Take way : {static_cast<Take>(malloc), static_cast<Take>(::operator new)}) {
    asm volatile("" : "+r"(way));
    void* block = way(16);
    asm volatile("" : : "r"(block) : "memory");
  }
}

/// Two call sites a level.
template <unsigned kLevel>
[[gnu::noinline]] void descend(unsigned path) {
  if constexpr (kLevel == 0) {
    take_blocks();
  } else if (path >> (kLevel - 1) & 1) {
    asm volatile("# one" : : : "memory");  // or the compiler makes one call of the two
    descend<kLevel - 1>(path);
    asm volatile("" : : : "memory");
  } else {
    asm volatile("# other" : : : "memory");
    descend<kLevel - 1>(path);
    asm volatile("nop" : : : "memory");
  }
}

std::atomic<unsigned> g_arrived;

/// Every thread waits for all others before each path.
void* work(void* argument) {
  auto threads = static_cast<unsigned>(reinterpret_cast<uintptr_t>(argument));
  for (unsigned path = 0; path < kPaths; ++path) {
    ++g_arrived;
    while (g_arrived < (path + 1) * threads) sched_yield();
    descend<kLevels>(path);
  }
  return nullptr;
}

/// Takes all paths, alone, on top of tables that other threads were just changing.
void fork_one() {
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    for (unsigned path = 0; path < kPaths; ++path) descend<kLevels>(path);
    say("child %d paths %u blocks %u\n", getpid(), kPaths, 1u);
    _exit(0);
  }
  int status;
  if (waitpid(child, &status, 0) != child || status != 0) fail("child");
}

}  // namespace

/// The time that is asked for makes no difference: there are so many paths.
int main(int argc, char** argv) {
  int threads = argc > 2 ? atoi(argv[2]) : 8;
  int forks = argc > 3 ? atoi(argv[3]) : 2;
  pthread_t handles[64];
  for (int i = 0; i < threads; ++i)
    pthread_create(&handles[i], nullptr, work, reinterpret_cast<void*>(static_cast<uintptr_t>(threads)));
  for (int done = 0; done < forks; ++done) {
    unsigned wanted = kPaths / static_cast<unsigned>(forks) * static_cast<unsigned>(done * threads);
    while (g_arrived < wanted) sched_yield();
    fork_one();
  }
  for (int i = 0; i < threads; ++i) pthread_join(handles[i], nullptr);
  say("parent %d paths %u blocks %d\n", getpid(), kPaths, threads);
  return 0;
}
