// Blocks made by one thread and freed by another are nobody's leak; what is left over counts once, after the threads
// that made it have gone.
//! leak: kind=heap live=40 bytes=4000 total=400 by=malloc function=make line=@make
//! clean:
#include <thread>
#include <vector>

#include "planted.h"

static void* make() {
  return malloc(100);  // @make
}

int main(int argc, char** argv) {
  std::vector<std::vector<void*>> made(4, std::vector<void*>(100));
  std::vector<std::thread> threads;
  for (auto& blocks : made)
    threads.emplace_back([&blocks] {
      for (auto& block : blocks) block = make();
    });
  for (auto& thread : threads) thread.join();
  threads.clear();
  size_t kept = leaking(argc, argv) ? 10 : 0;
  for (auto& blocks : made)
    threads.emplace_back([&blocks, kept] {
      for (size_t i = kept; i < blocks.size(); i++) free(blocks[i]);
    });
  for (auto& thread : threads) thread.join();
  return 0;
}
