// Blocks that are kept alive by every sort of root. The end is by _exit: no destructor runs. kept [LIBRARY...]
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>

namespace {

struct Session {
  explicit Session(int id) : name("a name that is too long for the object itself " + std::to_string(id)) {}
  virtual ~Session() = default;
  std::string name;
};

class Registry {
 public:
  void add(int id) { sessions_[id] = std::make_unique<Session>(id); }

 private:
  std::map<int, std::unique_ptr<Session>> sessions_;
};

struct Entry {
  Entry* next;
  void* payload;
};

Registry g_registry;  // @registry
void* g_buckets[512];
void *g_one, *g_two;
thread_local void* t_own = nullptr;  // @own
std::atomic<bool> g_is_ready;
pthread_key_t g_key;
void (*use_library)(size_t bytes) = nullptr;

void push() {
  static Entry* first;  // @first
  first = new Entry{first, std::malloc(100)};
}

[[gnu::noinline]] void* take(size_t bytes) { return std::malloc(bytes); }

[[gnu::noinline]] void wait_in_thread() {
  void* volatile kept = take(777);
  pthread_setspecific(g_key, take(445));
  if (use_library) use_library(446);
  g_is_ready = true;
  for (;;) pause();
  std::free(kept);
}

/// As many keys as that they do not lie with the thread.
[[gnu::noinline]] void use_keys() {
  for (int count = 0; count < 40; ++count) pthread_key_create(&g_key, nullptr);
  pthread_setspecific(g_key - 30, take(443));
  pthread_setspecific(g_key, take(444));
}

}  // namespace

int main(int count, char** libraries) {
  for (int id = 0; id < 40; ++id) g_registry.add(id);
  for (void*& bucket : g_buckets) bucket = std::malloc(50);
  for (int count = 0; count < 30; ++count) push();
  g_one = g_two = take(333);
  t_own = std::malloc(555);
  use_keys();
  for (int at = 1; at < count; ++at) {
    void* library = dlopen(libraries[at], RTLD_NOW);
    if (!library) return 1;
    use_library = reinterpret_cast<void (*)(size_t)>(dlsym(library, "use"));
    use_library(440 + static_cast<size_t>(at));
  }
  auto** mapped = static_cast<void**>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mapped[3] = std::malloc(666);
  std::thread(wait_in_thread).detach();
  while (!g_is_ready) usleep(1000);
  std::fflush(nullptr);
  _exit(0);
}
