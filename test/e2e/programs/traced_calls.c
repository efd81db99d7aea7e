// Opens files through chains of calls that are known, through functions of libc and back from one of them.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define PLAIN __attribute__((noinline))
// A call that is the last thing in a function could be a jump.
static volatile int after;

static PLAIN void leak(const char* path) {
  int fd = open(path, O_RDONLY);
  after = fd;
}

static PLAIN void stream(const char* path) {
  FILE* file = fopen(path, "r");
  after = file != NULL;
}

static PLAIN void folder(const char* path) {
  DIR* entries = opendir(path);
  after = entries != NULL;
}

static PLAIN void middle(const char* path) {
  char room[200];
  snprintf(room, sizeof room, "%s", path);
  leak(room);
  after = 1;
}

static PLAIN void outer(int depth) {
  if (depth > 0) {
    outer(depth - 1);
  } else {
    middle("/etc/passwd");
    stream("/etc/group");
    folder("/etc");
  }
  after = 2;
}

static int compare(const void* left, const void* right) {
  static int calls;
  if (calls++ == 0) leak("/etc/hosts");
  after = 3;
  return *(const int*)left - *(const int*)right;
}

static PLAIN void sorted(void) {
  int numbers[] = {3, 1, 2};
  qsort(numbers, 3, sizeof numbers[0], compare);
  after = numbers[0];
}

int main(void) {
  outer(2);
  sorted();
  puts("end");
  return 0;
}
