// grading MEBIBYTES THREADS LOOKS: a list of blocks of 128 bytes, and threads that watch the clock. Prints the longest
// time that none of them was let run while somebody looked through the heap, how long that took (minima over LOOKS, in
// milliseconds), and the clock (CLOCK_MONOTONIC, in seconds) at its end.
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "unfreed/unfreed.h"

namespace {

struct Link {
  Link* next;
  char rest[120];
};
Link* g_list;
std::atomic<bool> g_stop{false};

double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

void watch(std::atomic<double>& longest) {
  for (double last = now(); !g_stop;) {
    double time = now(), gap = time - last, seen = longest;
    last = time;
    while (gap > seen && !longest.compare_exchange_weak(seen, gap)) {
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  for (long left = std::atol(arguments[1]) * (1 << 20) / static_cast<long>(sizeof(Link)); left > 0; --left) {
    auto* link = static_cast<Link*>(malloc(sizeof(Link)));
    if (!link) return 1;
    memset(link, 1, sizeof *link);
    link->next = g_list;
    g_list = link;
  }
  std::atomic<double> longest{0};
  std::vector<std::thread> threads;
  for (int i = std::atoi(arguments[2]); i > 0; --i) threads.emplace_back(watch, std::ref(longest));
  unfreed_mark_t mark = unfreed_mark();
  double pause = 1e9, duration = 1e9;
  for (int look = std::atoi(arguments[3]); look > 0; --look) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    longest = 0;
    double start = now();
    if (unfreed_lost_since(mark) < 0) return 1;
    duration = std::min(duration, now() - start);
    pause = std::min<double>(pause, longest);
  }
  g_stop = true;
  for (std::thread& thread : threads) thread.join();
  std::printf("%.3f %.3f %.6f\n", pause * 1e3, duration * 1e3, now());
  return 0;
}
