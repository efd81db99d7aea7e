// A timer's handler takes and closes descriptors, from stacks of ever other shapes, in the middle of whatever the
// program does: taking and freeing blocks, and taking and closing descriptors, from few stacks and from many. In the
// end, what is held from where:
//   parent PID usual U other O
#include <signal.h>
#include <sys/time.h>

#include <alloca.h>

#include "stress_support.h"

namespace {

constexpr int kHeldDescriptors = 40, kHeldBlocks = 2000;
std::atomic<long> g_held_by_handler;

void use(void* memory) { asm volatile("" : : "r"(memory) : "memory"); }

[[gnu::noinline]] int take_descriptor(unsigned depth, unsigned shape) {
  // A frame of another size each time, so that stacks differ in where their return addresses lie.
  use(alloca(16 + 16 * (shape % 7)));
  if (depth > 0) {
    int fd = shape & 1 ? take_descriptor(depth - 1, shape / 2 + 977) : take_descriptor(depth - 1, shape / 3 + 41);
    use(&fd);
    return fd;
  }
  int fd = dup(0);
  if (fd < 0) fail("dup");
  return fd;
}

/// Always from the same stack.
[[gnu::noinline]] void* take_usual_block(int depth) {
  void* block = depth > 0 ? take_usual_block(depth - 1) : malloc(40);
  use(&block);
  return block;
}

[[gnu::noinline]] void* take_block(unsigned depth, unsigned shape) {
  use(alloca(16 + 16 * (shape % 5)));
  void* block;
  if (depth > 0)
    block = shape & 1 ? take_block(depth - 1, shape / 2 + 977) : take_block(depth - 1, shape / 3 + 41);
  else
    block = malloc(24 + shape % 100);
  use(&block);
  return block;
}

void handle(int) {
  static Random random(7);
  int saved = errno;
  int fd = take_descriptor(random.below(20), random.below(1 << 16));
  if (g_held_by_handler < kHeldDescriptors && random.below(50) == 0)
    ++g_held_by_handler;
  else if (close(fd))
    fail("close");
  errno = saved;
}

}  // namespace

int main(int, char** argv) {
  double until = seconds_now() + atof(argv[1]);
  struct sigaction action = {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  itimerval often = {{0, 50}, {0, 50}};
  setitimer(ITIMER_REAL, &often, nullptr);
  struct Held {
    void* block;
    bool is_usual;
  };
  static Held blocks[kHeldBlocks];
  Random random(3);
  while (seconds_now() < until)
    for (int i = 0; i < 2000; ++i) {
      auto& [block, is_usual] = blocks[random.below(kHeldBlocks)];
      free(block);
      is_usual = random.below(4);
      block = is_usual ? take_usual_block(3) : take_block(random.below(12), random.below(4096));
      if (i % 16 == 0 && close(take_descriptor(random.below(6), random.below(64)))) fail("close");
    }
  itimerval never = {};
  setitimer(ITIMER_REAL, &never, nullptr);
  long held[2] = {};
  for (const Held& one : blocks)
    if (one.block) ++held[one.is_usual];
  say("parent %d usual %ld other %ld\n", getpid(), held[true], held[false]);
  return 0;
}
