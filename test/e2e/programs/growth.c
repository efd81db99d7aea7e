// What grows and what does not, turn by turn.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { kCached = 8, kPooled = 16 };
static void* cache[kCached];
static void* pool[kPooled];
static void* volatile kept;

static void leak_descriptor(void) {
  open("/dev/null", O_RDONLY);  // @descriptor
}

static void leak_block(void) {
  kept = malloc(1000);  // @block
}

// Filled once, then each turn replaces what it holds.
static void use_cache(int turn) {
  free(cache[turn % kCached]);
  cache[turn % kCached] = malloc(4000);  // @cache
}

static void use_pool(void) {
  int at = rand() % kPooled;
  free(pool[at]);
  pool[at] = rand() % 2 ? malloc(700) : NULL;  // @pool
}

static void turn(int number) {
  leak_descriptor();
  leak_block();
  use_cache(number);
  use_pool();
}

int main(int argc, char** argv) {
  // growth MILLISECONDS: a turn each time; growth asked: a turn for each byte of standard input, answered with one.
  struct rlimit limit = {4096, 4096};
  setrlimit(RLIMIT_NOFILE, &limit);
  char byte = '.';
  if (argc < 2 || strcmp(argv[1], "asked") != 0) {
    long pause_ns = argc < 2 ? 1000000 : atol(argv[1]) * 1000000;
    for (int number = 0;; ++number) {
      turn(number);
      if (number == 0 && write(1, "ready\n", 6) != 6) return 1;
      struct timespec pause = {pause_ns / 1000000000, pause_ns % 1000000000};
      nanosleep(&pause, NULL);
    }
  }
  for (int number = 0; read(0, &byte, 1) == 1; ++number) {
    turn(number);
    if (write(1, &byte, 1) != 1) return 1;
  }
  return 0;
}
