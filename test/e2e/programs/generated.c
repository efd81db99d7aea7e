/// Code that is generated while the program runs, with a map of it for profilers, which argv[1] chooses: "map"; "old",
/// one that an earlier process has left; "none".
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void open_one(void) { open("/dev/null", O_RDONLY | O_CLOEXEC); }

/// Generates a function that keeps a frame pointer and calls `callee`.
static unsigned char* generate(unsigned char* code, void (*callee)(void)) {
#if defined __x86_64__
  static const unsigned char before[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8};  // push rbp; mov rbp, rsp; mov rax, …
  static const unsigned char after[] = {0xff, 0xd0, 0x5d, 0xc3};               // call rax; pop rbp; ret
#else
  static const unsigned char before[] = {0xfd, 0x7b, 0xbf, 0xa9, 0xfd, 0x03, 0x00, 0x91,   // stp; mov x29, sp
                                         0x90, 0x00, 0x00, 0x58, 0x00, 0x02, 0x3f, 0xd6,   // ldr x16, +16; blr x16
                                         0xfd, 0x7b, 0xc1, 0xa8, 0xc0, 0x03, 0x5f, 0xd6};  // ldp; ret
  static const unsigned char after[] = {0};
#endif
  memcpy(code, before, sizeof before);
  memcpy(code + sizeof before, &callee, sizeof callee);
  memcpy(code + sizeof before + sizeof callee, after, sizeof after);
  return code;
}

int main(int count, char** arguments) {
  unsigned char* code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return 1;
  unsigned char* inner = generate(code, open_one);
  unsigned char* outer = generate(code + 1024, (void (*)(void))(uintptr_t)inner);
  __builtin___clear_cache((char*)code, (char*)code + 4096);
  const char* what = count > 1 ? arguments[1] : "none";
  if (strcmp(what, "none") != 0) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    FILE* map = fopen(path, "we");
    if (!map) return 1;
    fprintf(map, "%lx 40 JS:~openLog /srv/log.js:3:17\n%lx 40 JS:*serve /srv/serve.js:20:5\n", (long)inner,
            (long)outer);
    fclose(map);
    const struct timespec old[2] = {{1000, 0}, {1000, 0}};
    if (strcmp(what, "old") == 0) utimensat(AT_FDCWD, path, old, 0);
  }
  for (int at = 0; at < 3; ++at) ((void (*)(void))(uintptr_t)outer)();
  return 0;
}
