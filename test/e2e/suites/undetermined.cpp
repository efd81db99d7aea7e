// Loses a block while a thread that blocks all signals computes: it cannot be stopped, so what is lost is not known.
// Prints what TestLeaks finds, a line for each.
#include <unfreed/test_leaks.h>

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

static std::atomic<int> g_state;

static void* compute(void*) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  g_state = 1;
  while (g_state != 2) {
  }
  return nullptr;
}

int main() {
  pthread_t thread;
  pthread_create(&thread, nullptr, compute, nullptr);
  while (g_state != 1) {
  }
  unfreed::TestLeaks leaks;
  *static_cast<volatile char*>(malloc(300)) = 1;
  for (const unfreed::TestLeak& leak : leaks.leaks()) std::printf("%d %s", leak.kind, leak.text.c_str());
  g_state = 2;
  pthread_join(thread, nullptr);
}
