// Blocks and descriptors that are acquired earlier and later, from the same places.
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void* volatile kept[64];
static int count;

static void acquire(void) {
  kept[count++] = malloc(1000);  // @block
  open("/dev/null", O_RDONLY);   // @descriptor
  free(malloc(50));
}

int main(int argc, char** argv) {
  // ages EARLY MILLISECONDS LATE: so many, and after that time so many more.
  (void)argc;
  int early = atoi(argv[1]), late = atoi(argv[3]);
  long wait_ms = atol(argv[2]);
  for (int i = 0; i < early + late; ++i) {
    struct timespec pause = {wait_ms / 1000, wait_ms % 1000 * 1000000};
    if (i == early && write(1, "ready\n", 6) == 6)
      while (nanosleep(&pause, &pause)) {
      }
    acquire();
  }
  return 0;
}
