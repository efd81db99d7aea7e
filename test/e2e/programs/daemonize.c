// Becomes a daemon by daemon(3), opens three files and stays for a while: `daemonize FILE SECONDS [END]` writes its pid
// to FILE. It ends after that time, or when there is a file END.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int take(void) {
  return open("/etc/passwd", O_RDONLY);  // @take
}

int main(int argc, char** argv) {
  if (argc < 3 || daemon(0, 0)) return 1;
  for (int i = 0; i < 3; i++) take();
  FILE* file = fopen(argv[1], "w");
  if (!file) return 2;
  fprintf(file, "%d\n", (int)getpid());
  fclose(file);
  for (int tenths = 10 * atoi(argv[2]); tenths > 0 && !(argc > 3 && access(argv[3], F_OK) == 0); --tenths)
    usleep(100000);
  return 0;
}
