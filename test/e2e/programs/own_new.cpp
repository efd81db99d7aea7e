// A program with an operator new of its own, which takes its blocks from malloc.
//! leak: kind=heap live=3 bytes=120 by=malloc function="operator new" line=@block
//! clean:
#include <cstdlib>
#include <new>

#include "planted.h"

void* operator new(std::size_t bytes) {
  void* block = std::malloc(bytes);  // @block
  if (!block) throw std::bad_alloc();
  return block;
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }

struct Order {
  char text[40];
};

int main(int argc, char** argv) {
  Order* orders[3];
  for (auto& order : orders) order = new Order;
  if (leaking(argc, argv)) return 0;
  for (auto* order : orders) delete order;
  return 0;
}
