// A program that is annotated for LeakSanitizer, and asks what it has lost. Prints what it is told.
#include <unfreed/unfreed.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" {
[[gnu::weak]] void __lsan_ignore_object(const void*);
[[gnu::weak]] void __lsan_disable();
[[gnu::weak]] void __lsan_enable();
[[gnu::weak]] void __lsan_register_root_region(const void*, size_t);
[[gnu::weak]] void __lsan_unregister_root_region(const void*, size_t);
[[gnu::weak]] int __lsan_do_recoverable_leak_check();
}

namespace {

struct Pair {
  void* first;
  void* second;
};

[[gnu::noinline]] void* make(size_t bytes) {
  void* block = malloc(bytes);
  if (!block) abort();
  memset(block, 0, bytes);
  return block;
}
[[gnu::noinline]] void wipe_stack() {
  volatile char waste[16384];
  for (volatile char& one : waste) one = 0;
}
[[gnu::noinline]] void lose(int count) {
  for (int i = 0; i < count; ++i) make(50);
}
[[gnu::noinline]] void annotate() {
  auto* ignored = static_cast<Pair*>(make(sizeof(Pair)));
  ignored->first = make(51);
  __lsan_ignore_object(ignored);
  __lsan_disable();
  auto* unseen = static_cast<Pair*>(make(sizeof(Pair)));
  __lsan_enable();
  unseen->first = make(52);
}
uintptr_t g_hidden;
[[gnu::noinline]] void hide_pool() {
  char* pool = static_cast<char*>(make(4096));
  memset(pool, 0, 4096);
  auto* slot = reinterpret_cast<Pair*>(pool + 1024);
  slot->first = make(53);
  g_hidden = ~reinterpret_cast<uintptr_t>(pool);
}
char* pool() { return reinterpret_cast<char*>(~g_hidden); }

}  // namespace

// annotated [REPORT]
int main(int count, char** arguments) {
  bool has = __lsan_ignore_object && __lsan_do_recoverable_leak_check;
  printf("annotated %d\n", has);
  unfreed_mark_t start = unfreed_mark();
  wipe_stack();
  printf("none %ld\n", static_cast<long>(unfreed_lost_since(start)));
  if (has) printf("check %d\n", __lsan_do_recoverable_leak_check());
  lose(3);
  wipe_stack();
  printf("three %ld\n", static_cast<long>(unfreed_lost_since(start)));
  unfreed_mark_t later = unfreed_mark();
  lose(2);
  wipe_stack();
  printf("two %ld\n", static_cast<long>(unfreed_lost_since(later)));
  printf("no mark %ld\n", static_cast<long>(unfreed_lost_since(0)));
  if (!has) return 0;
  printf("check %d\n", __lsan_do_recoverable_leak_check());
  later = unfreed_mark();
  annotate();
  wipe_stack();
  printf("annotated blocks %ld\n", static_cast<long>(unfreed_lost_since(later)));
  hide_pool();
  __lsan_register_root_region(pool() + 1024, 1024);
  wipe_stack();
  unfreed_report(count > 1 ? arguments[1] : nullptr);
  __lsan_unregister_root_region(pool() + 1024, 1024);
  return 0;
}
