// operator new in its forms; the caller of `new` is the innermost frame.
//! leak: kind=heap live=4 bytes=160 by="operator new" function=shop::make line=@new
//! leak: kind=heap live=1 bytes=1000 by="operator new\[\]" function=main line=@array
//! leak: kind=heap live=1 bytes=256 by="operator new.*" function=main line=@aligned
//! clean:
#include <new>

#include "planted.h"

namespace shop {
struct Order {
  char text[40];
};
struct alignas(128) Wide {
  char text[256];
};
Order* make() {
  return new Order;  // @new
}
}  // namespace shop

int main(int argc, char** argv) {
  shop::Order* orders[4];
  for (auto& order : orders) order = shop::make();
  char* text = new char[1000];        // @array
  shop::Wide* wide = new shop::Wide;  // @aligned
  if (leaking(argc, argv)) return 0;
  for (auto* order : orders) delete order;
  delete[] text;
  delete wide;
  return 0;
}
