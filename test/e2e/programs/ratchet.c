// Leaks as many as it is told: ratchet LOGS OTHERS BLOCKS [TWICE]
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void* volatile g_block;

static void open_log(void) { open("/etc/passwd", O_RDONLY); }   // @log
static void open_other(void) { open("/etc/group", O_RDONLY); }  // @other
static void lose(void) {
  g_block = malloc(100);  // @lose
  g_block = NULL;
}
static void close_twice(void) {
  int fd = open("/dev/null", O_RDONLY);
  close(fd);
  close(fd);
}

int main(int count, char** arguments) {
  if (count < 4) return 1;
  for (int i = atoi(arguments[1]); i > 0; --i) open_log();
  for (int i = atoi(arguments[2]); i > 0; --i) open_other();
  for (int i = atoi(arguments[3]); i > 0; --i) lose();
  for (int i = count > 4 ? atoi(arguments[4]) : 0; i > 0; --i) close_twice();
  return 0;
}
