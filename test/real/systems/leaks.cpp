// Compiled by another system's compiler, for its libc. Holds: 1 descriptor from before main, 3 and a stream of main's,
// 5 blocks of 10 bytes, a vector, and of its 2 threads one that is not joined.
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

struct Early {
  Early() { fd = open("/dev/null", O_RDONLY); }  // @early
  int fd;
};
static Early early;
static void* blocks[5];
static FILE* stream;
static std::vector<int>* numbers;

static void* work(void* argument) {
  free(malloc(100));
  return argument;
}

/// An emulator has threads of its own.
static int count_threads() {
  int count = 0;
  DIR* tasks = opendir("/proc/self/task");
  while (dirent* entry = readdir(tasks)) count += entry->d_name[0] != '.';
  closedir(tasks);
  return count;
}

int main() {
  int alone = count_threads();
  for (int i = 0; i < 3; ++i) open("/dev/null", O_RDONLY);  // @open
  stream = fopen("/dev/null", "r");                         // @stream
  for (void*& block : blocks) block = malloc(10);           // @blocks
  numbers = new std::vector<int>(25);                       // @vector
  pthread_t joined, forgotten;
  if (pthread_create(&joined, nullptr, work, nullptr) || pthread_join(joined, nullptr)) return 1;
  if (pthread_create(&forgotten, nullptr, work, nullptr)) return 1;  // @thread
  while (count_threads() != alone) usleep(1000);
  return 0;
}
