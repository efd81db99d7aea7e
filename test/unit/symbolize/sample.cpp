// A program that knows its own places: prints "NAME OFFSET" for return addresses, as a ledger would record them.
#include <link.h>

#include <cstdint>
#include <cstdio>

namespace {

uintptr_t load_bias() {
  uintptr_t bias = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        *static_cast<uintptr_t*>(out) = info->dlpi_addr;
        return 1;  // the first is the program itself
      },
      &bias);
  return bias;
}

void __attribute__((noinline)) mark(const char* name) {
  std::printf("%s %lx\n", name, reinterpret_cast<uintptr_t>(__builtin_return_address(0)) - load_bias());
}

}  // namespace

namespace sample {

// The test looks for the lines by their marks.
inline void __attribute__((always_inline)) innermost(const char* name) {
  mark(name);  // @innermost
  asm volatile("");
}

inline void __attribute__((always_inline)) middle(const char* name) {
  innermost(name);  // @middle
}

class Widget {
 public:
  __attribute__((noinline)) void plain(int) {
    mark("plain");  // @plain
    asm volatile("");
  }
  __attribute__((noinline)) void inlining(const char* name) {
    middle(name);  // @inlining
  }
};

}  // namespace sample

extern "C" __attribute__((noinline)) void c_function() {
  mark("c");  // @c
  asm volatile("");
}

int main() {
  sample::Widget widget;
  widget.plain(1);
  widget.inlining("inlined");
  c_function();
}
