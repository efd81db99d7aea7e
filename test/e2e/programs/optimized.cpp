// Built with -O2 and no frame pointers: inlined functions keep their names and lines, innermost first.
//! leak: kind=fd live=3 by=open(64)? function=Store::take line=@take stack=Store::take,Store::open_all,run,main
//! clean:
#include <fcntl.h>

#include "planted.h"

struct Store {
  int fds[3];
  inline __attribute__((always_inline)) int take() {
    return open("/etc/passwd", O_RDONLY);  // @take
  }
  inline __attribute__((always_inline)) void open_all() {
    for (int& fd : fds) fd = take();
  }
};

__attribute__((noinline)) static int run(bool leak) {
  Store store;
  store.open_all();
  if (!leak)
    for (int fd : store.fds) close(fd);
  return store.fds[0] < 0;
}

int main(int argc, char** argv) {
  int status = run(leaking(argc, argv));
  asm volatile("" ::: "memory");  // or run() would be a tail call, and main no frame
  return status;
}
