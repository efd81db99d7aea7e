// A large heap, and a fork child of it that gives back and takes blocks. Both print how much of the memory that fork
// children find zeroed is their own, in KiB.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kBlocks = 200000 };
static char* blocks[kBlocks];

/// Of mappings whose flags say "wf": wipe on fork.
static long zeroed_kib(void) {
  FILE* file = fopen("/proc/self/smaps", "r");
  char line[512];
  long sum = 0, anonymous = 0;
  while (file && fgets(line, sizeof line, file)) {
    if (sscanf(line, "Anonymous: %ld", &anonymous) == 1) continue;
    if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " wf")) sum += anonymous;
  }
  if (file) fclose(file);
  return sum;
}

int main(void) {
  for (int i = 0; i < kBlocks; i++) blocks[i] = malloc(40);
  printf("parent %ld\n", zeroed_kib());
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    printf("child %ld\n", zeroed_kib());
    for (int i = 0; i < kBlocks / 2; i++) free(blocks[i]);
    // Three of its own, of which one was its parent's.
    char* own[3] = {malloc(40), malloc(40), realloc(blocks[kBlocks / 2], 80)};
    free(malloc(40));
    fflush(stdout);
    _exit(own[0] && own[1] && own[2] ? 0 : 3);
  }
  int status = 1;
  waitpid(pid, &status, 0);
  for (int i = 0; i < kBlocks; i++) free(blocks[i]);
  return status ? 2 : 0;
}
