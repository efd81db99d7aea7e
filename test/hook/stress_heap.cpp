// Threads allocate blocks in every way and leave them in common slots, where others find and free or resize them; in
// the second half the process forks now and then. Half of the threads are still there when the process ends. Each
// process says in the end what it holds:
//   parent|child PID blocks N bytes B
#include <malloc.h>

#include <cstring>
#include <new>

#include "stress_support.h"

namespace {

constexpr unsigned kSlots = 4096;
enum Maker : uint32_t { kMalloc, kNew, kNewArray, kNewAligned, kMakers };

/// At the start of each block.
struct Block {
  size_t bytes;
  Maker maker;
};

std::atomic<Block*> g_slots[kSlots];
std::atomic<bool> g_stop;
std::atomic<int> g_working;
std::atomic<long> g_operations;

/// The only function of the program that allocates: its sites are the blocks.
[[gnu::noinline]] Block* take_block(Random& random) {
  size_t bytes = sizeof(Block) + random.below(random.below(8) ? 200 : 20000);
  if (random.below(5000) == 0) bytes = size_t{17} << 20;  // of a size that the index keeps apart
  Maker maker = kMalloc;
  void* memory = nullptr;
  switch (random.below(9)) {
    case 0:
      memory = malloc(bytes);
      break;
    case 1:
      memory = calloc(1, bytes);
      break;
    case 2:
      memory = realloc(nullptr, bytes);
      break;
    case 3:
      memory = memalign(64, bytes);
      break;
    case 4:
      memory = aligned_alloc(32, bytes = (bytes + 31) & ~size_t{31});
      break;
    case 5:
      if (posix_memalign(&memory, 128, bytes)) fail("posix_memalign");
      break;
    case 6:
      memory = ::operator new(bytes), maker = kNew;
      break;
    case 7:
      memory = ::operator new[](bytes), maker = kNewArray;
      break;
    default:
      memory = ::operator new (bytes, std::align_val_t{64}), maker = kNewAligned;
      break;
  }
  if (!memory) fail("memory");
  return new (memory) Block{bytes, maker};
}

void give_back(Block* block) {
  if (!block) return;
  switch (block->maker) {
    case kNew:
      return ::operator delete(block, block->bytes);
    case kNewArray:
      return ::operator delete[](block);
    case kNewAligned:
      return ::operator delete (block, std::align_val_t{64});
    default:
      return free(block);
  }
}

[[gnu::noinline]] Block* take_other_size(Block* block, Random& random) {
  if (!block || block->maker != kMalloc) return block;
  size_t bytes = sizeof(Block) + random.below(3000);
  auto* moved = static_cast<Block*>(realloc(block, bytes));
  if (!moved) fail("realloc");
  moved->bytes = bytes;
  return moved;
}

void* work(void* number) {
  auto index = static_cast<unsigned>(reinterpret_cast<uintptr_t>(number));
  Random random(index);
  long operations = 0;
  for (; !g_stop.load(std::memory_order_relaxed); ++operations) {
    std::atomic<Block*>& slot = g_slots[random.below(kSlots)];
    Block* put = nullptr;
    switch (random.below(4)) {
      case 0:
        break;
      case 1:
        put = take_other_size(slot.exchange(nullptr), random);
        break;
      default:
        put = take_block(random);
        break;
    }
    give_back(slot.exchange(put));
  }
  g_operations += operations;
  --g_working;
  while (index % 2) pause();
  return nullptr;
}

/// The child has the forking thread alone. What it frees of its parent's does not count; what it takes itself does.
[[noreturn]] void be_child(Random& random) {
  for (unsigned i = 0; i < kSlots; i += 3) give_back(g_slots[i].exchange(nullptr));
  long blocks = 0;
  size_t bytes = 0;
  for (int i = 0; i < 500; ++i) {
    Block* block = take_block(random);
    if (random.below(2)) {
      give_back(block);
    } else {
      block = take_other_size(block, random);
      ++blocks;
      bytes += block->bytes;
    }
  }
  // Resizing one of the parent's makes it the child's.
  for (unsigned i = 1; i < kSlots; i += 3) {
    Block* block = g_slots[i].exchange(nullptr);
    if (!block || block->maker != kMalloc) continue;
    ++blocks;
    bytes += take_other_size(block, random)->bytes;
  }
  say("child %d blocks %ld bytes %zu\n", getpid(), blocks, bytes);
  exit(0);
}

/// From another stack each time: the parent records a new call site while the child takes over what it had.
[[gnu::noinline]] pid_t fork_at(int depth) {
  pid_t child = depth ? fork_at(depth - 1) : fork();
  asm volatile("" ::: "memory");
  return child;
}

}  // namespace

int main(int argc, char** argv) {
  double length = argc > 1 ? atof(argv[1]) : 1;
  int threads = argc > 2 ? atoi(argv[2]) : 8;
  int forks = argc > 3 ? atoi(argv[3]) : 4;
  Random random(99);
  g_working = threads;
  pthread_t handles[64];
  for (int i = 0; i < threads; ++i)
    pthread_create(&handles[i], nullptr, work, reinterpret_cast<void*>(uintptr_t(i + 1)));
  usleep(static_cast<useconds_t>(length * 5e5));
  for (int i = 0; i < forks; ++i) {
    pid_t child = fork_at(i);
    if (child < 0) fail("fork");
    if (child == 0) be_child(random);
    int status;
    if (waitpid(child, &status, 0) != child || status) fail("a child");
    usleep(static_cast<useconds_t>(length * 5e5 / forks));
  }
  g_stop = true;
  while (g_working) usleep(1000);
  for (int i = 1; i < threads; i += 2) pthread_join(handles[i], nullptr);
  long blocks = 0;
  size_t bytes = 0;
  for (auto& slot : g_slots) {
    Block* block = slot.load();
    if (!block) continue;
    ++blocks;
    bytes += block->bytes;
  }
  say("parent %d blocks %ld bytes %zu\n", getpid(), blocks, bytes);
  say("operations %ld\n", g_operations.load());
  return 0;
}
