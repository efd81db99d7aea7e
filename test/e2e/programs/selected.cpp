// Holds descriptors, blocks and threads that differ in function, instance of a template, target and thread.
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

namespace {

void* volatile kept[8];

template <class Key>
struct Cache {
  [[gnu::noinline]] static void load(const char* path, int times) {
    for (int i = 0; i < times; ++i) open(path, O_RDONLY);  // @load
  }
};

[[gnu::noinline]] void fill() {
  for (int i = 0; i < 4; ++i) kept[i] = std::malloc(1000);  // @fill
}

std::atomic<int> tid;

[[gnu::noinline]] void unjoined() {
  pthread_t thread;
  auto routine = [](void* nothing) {
    tid = gettid();
    return nothing;
  };
  pthread_create(&thread, nullptr, routine, nullptr);  // @unjoined
  // Until it has ended.
  while (!tid || access(("/proc/self/task/" + std::to_string(tid)).c_str(), F_OK) == 0) usleep(1'000);
}

}  // namespace

int main() {
  std::thread worker([] { Cache<int>::load("/etc/hosts", 7); });
  worker.join();
  Cache<std::string>::load("/etc/passwd", 3);
  fill();
  unjoined();
  return 0;
}
