// Where code that is not position-independent takes operator new's address, the executable has a stand-in for it.
//! leak: kind=heap live=1 bytes=40 by="operator new" function=main line=@block
//! clean:
#include <new>

#include "planted.h"

int main(int argc, char** argv) {
  void* (*volatile allocate)(std::size_t) = operator new;
  void* block = allocate(40);  // @block
  if (!leaking(argc, argv)) operator delete(block);
  return 0;
}
