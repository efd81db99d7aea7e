// Threads create threads that end at once, and join, detach or forget them. In the end:
//   parent PID forgotten N created M
#include <sched.h>

#include "stress_support.h"

namespace {

constexpr int kMostForgotten = 20;  ///< per creator: each keeps its stack
std::atomic<bool> g_stop;
std::atomic<long> g_forgotten, g_created;

void* nothing(void* argument) { return argument; }
void* leave(void*) { pthread_exit(nullptr); }
void* detach_itself(void*) {
  pthread_detach(pthread_self());
  return nullptr;
}

/// Ends as soon as it has been detached, not before: glibc's pthread_detach looks at a thread once more after it has
/// given it up, and where stacks are not kept for others that thread's may be gone.
void* end_once_detached(void* argument) {
  auto* detached = static_cast<std::atomic<bool>*>(argument);
  while (!*detached) sched_yield();
  delete detached;
  return nullptr;
}

pthread_t start(void* (*routine)(void*), void* argument = nullptr) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, routine, argument)) fail("pthread_create");
  return thread;
}

void start_detached() {
  auto* detached = new std::atomic<bool>(false);
  pthread_detach(start(end_once_detached, detached));
  *detached = true;
}

void* create(void* number) {
  Random random(static_cast<unsigned>(reinterpret_cast<uintptr_t>(number)));
  long created = 0, forgotten = 0;
  for (; !g_stop.load(std::memory_order_relaxed); ++created) {
    switch (random.below(4)) {
      case 0:
        start_detached();
        break;
      case 1:
        start(detach_itself);
        break;
      case 2:
        if (forgotten < kMostForgotten && random.below(10) == 0) {
          start(leave);
          ++forgotten;
          break;
        }
        [[fallthrough]];
      default:
        pthread_join(start(random.below(2) ? nothing : leave), nullptr);
        break;
    }
  }
  g_created += created;
  g_forgotten += forgotten;
  return nullptr;
}

int running_threads() {
  int count = -2;
  DIR* folder = opendir("/proc/self/task");
  while (readdir(folder)) ++count;
  closedir(folder);
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  double length = argc > 1 ? atof(argv[1]) : 1;
  int threads = argc > 2 ? atoi(argv[2]) : 8;
  pthread_t handles[64];
  for (int i = 0; i < threads; ++i)
    pthread_create(&handles[i], nullptr, create, reinterpret_cast<void*>(uintptr_t(i + 1)));
  usleep(static_cast<useconds_t>(length * 1e6));
  g_stop = true;
  for (int i = 0; i < threads; ++i) pthread_join(handles[i], nullptr);
  for (int i = 0; i < 5000 && running_threads() > 1; ++i) usleep(1000);
  say("parent %d forgotten %ld created %ld\n", getpid(), g_forgotten.load(), g_created.load() + threads);
  return 0;
}
