// A program with an operator new of its own, which takes its blocks from malloc. The forms that it leaves to libstdc++
// come down to it, too.
//! leak: kind=heap live=1 bytes=60 by=malloc function="operator new" line=@block
//! leak: kind=heap live=1 bytes=80 by=malloc function="operator new" line=@block
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

static void* take(int i) {
  switch (i) {
    case 0:
      return new char[60];
    case 1:
      return operator new(80, std::nothrow);
    default:
      return operator new(40);
  }
}

int main(int argc, char** argv) {
  void* blocks[5];
  for (int i = 0; i < 5; i++) blocks[i] = take(i);
  if (leaking(argc, argv)) return 0;
  delete[] static_cast<char*>(blocks[0]);
  operator delete(blocks[1], std::nothrow);
  for (int i = 2; i < 5; i++) operator delete(blocks[i]);
  return 0;
}
