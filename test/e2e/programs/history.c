// Blocks and descriptors that stay as many as they are for a time, then grow; nobody watches.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void* volatile kept[1000];
static int kept_count;

static void grow(int blocks, int descriptors) {
  while (blocks-- > 0) kept[kept_count++] = malloc(100);  // @block
  while (descriptors-- > 0) open("/dev/null", O_RDONLY);  // @descriptor
}

static void let_time_pass(int times) {
  for (; times > 0; --times) {
    struct timespec pause = {0, 50 * 1000000};
    nanosleep(&pause, NULL);
    close(open("/dev/null", O_RDONLY));
  }
}

int main(int argc, char** argv) {
  // history [kill|fork]: at the end it is killed; a child does the same in its place.
  const char* what = argc > 1 ? argv[1] : "";
  void* flat[50];
  for (int i = 0; i < 50; ++i) flat[i] = malloc(70);  // @flat
  if (strcmp(what, "fork") == 0 && fork() != 0) return wait(NULL) < 0;
  for (int i = 0; i <= 26; ++i) {
    grow(i ? 18 : 12, i ? 1 : 2);
    let_time_pass(i ? 1 : 16);
  }
  if (strcmp(what, "kill") == 0) raise(SIGKILL);
  if (write(1, "ready\n", 6) == 6)
    for (;;) pause();
  for (int i = 0; i < 50; ++i) free(flat[i]);
  return 0;
}
