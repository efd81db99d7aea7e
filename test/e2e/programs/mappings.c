// Maps, cuts, moves, grows and unmaps memory at random, and prints what it has left, by /proc/self/maps: bytes
// that were not there at the start.
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kPage = 4096, kMost = 64, kPages = 32 };
static struct {
  char* start;
  size_t pages;
} g_known[kMost];
static int g_count;
static uint64_t g_state = 88172645463325252u;

static unsigned below(unsigned limit) {
  g_state ^= g_state << 13, g_state ^= g_state >> 7, g_state ^= g_state << 17;
  return (unsigned)(g_state >> 11) % limit;
}

// Without stdio, which would map and allocate.
static char g_text[1 << 20];
static uint64_t mapped_bytes(void) {
  size_t size = 0;
  int file = open("/proc/self/maps", O_RDONLY);
  for (ssize_t got; (got = read(file, g_text + size, sizeof g_text - 1 - size)) > 0;) size += (size_t)got;
  close(file);
  g_text[size] = '\0';
  uint64_t bytes = 0;
  for (char* line = g_text; *line; line = strchr(line, '\n') + 1) {
    char* end;
    uint64_t from = strtoull(line, &end, 16), to = strtoull(end + 1, NULL, 16);
    // The kernel makes these longer by itself.
    char* stop = strchr(line, '\n');
    if (memmem(line, (size_t)(stop - line), "[stack]", 7) || memmem(line, (size_t)(stop - line), "[heap]", 6)) continue;
    bytes += to - from;
  }
  return bytes;
}

static void forget(char* start, size_t pages) {
  char* end = start + pages * kPage;
  for (int i = 0; i < g_count; ++i) {
    char *from = g_known[i].start, *to = from + g_known[i].pages * kPage;
    if (to <= start || from >= end) continue;
    g_known[i--] = g_known[--g_count];
    if (from < start && g_count < kMost)
      g_known[g_count].start = from, g_known[g_count++].pages = (size_t)(start - from) / kPage;
    if (to > end && g_count < kMost)
      g_known[g_count].start = end, g_known[g_count++].pages = (size_t)(to - end) / kPage;
  }
}

static void make(int file, char* at, size_t pages) {
  int flags = (file < 0 ? MAP_ANONYMOUS : 0) | (below(2) ? MAP_PRIVATE : MAP_SHARED) | (at ? MAP_FIXED : 0);
  if (at) forget(at, pages);
  // One byte less: the kernel takes whole pages.
  char* made = mmap(at, pages * kPage - below(2), PROT_READ, flags, file, 0);  // @made
  if (made == MAP_FAILED) abort();
  if (g_count < kMost) g_known[g_count].start = made, g_known[g_count++].pages = pages;
}

static void step(int file) {
  int one = g_count ? (int)below((unsigned)g_count) : 0;
  char* start = g_known[one].start;
  size_t pages = g_known[one].pages;
  size_t skip = pages ? below((unsigned)pages) : 0, part = pages ? 1 + below((unsigned)(pages - skip)) : 0;
  if (g_count == 0 || (below(3) == 0 && g_count < kMost / 2)) {
    make(below(2) ? file : -1, NULL, 1 + below(kPages));
    return;
  }
  switch (below(7)) {
    case 0:
      make(-1, start + skip * kPage, part);  // over part of it
      return;
    case 1:
      if (munmap(start + skip * kPage + 1, kPage) == 0) abort();  // refused
      if (mremap(start, pages * kPage, 0, 0) != MAP_FAILED) abort();
      return;
    case 2:
    case 3:
      forget(start + skip * kPage, part);
      if (munmap(start + skip * kPage, part * kPage - below(2))) abort();
      return;
    case 4: {
      size_t size = 1 + below(kPages);
      char* moved = mremap(start, pages * kPage, size * kPage, below(2) ? MREMAP_MAYMOVE : 0);
      if (moved == MAP_FAILED) return;
      forget(start, pages);
      g_known[g_count].start = moved, g_known[g_count++].pages = size;
      return;
    }
    case 5:
      forget(start, pages);
      if (syscall(SYS_munmap, start, pages * kPage)) abort();
      return;
    default:
      mprotect(start + skip * kPage, part * kPage, PROT_NONE);
  }
}

/// Many mappings side by side, which are one to the kernel, moved and cut at once.
static void move_many(void) {
  enum { kMany = 40 };
  char* start = mmap(NULL, (2 * kMany + 1) * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < kMany; ++i)
    mmap(start + i * kPage, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  char* moved = mremap(start, kMany * kPage, 2 * kMany * kPage, MREMAP_MAYMOVE);
  if (moved == MAP_FAILED) abort();
  if (mremap(moved, kMany * kPage, kMany * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, moved + 1) != MAP_FAILED) abort();
  if (munmap(moved + 3 * kPage, (kMany - 6) * kPage)) abort();
}

int main(int argc, char** argv) {
  int steps = argc > 1 ? atoi(argv[1]) : 1000;
  g_state ^= argc > 2 ? strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u : 0;
  int file = memfd_create("mappings", 0);
  if (ftruncate(file, kPages * kPage)) return 1;
  static char line[32];
  // The first mapping brings the runtime's own tables with it.
  munmap(mmap(NULL, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), kPage);
  uint64_t at_start = mapped_bytes();
  move_many();
  for (int i = 0; i < steps; ++i) step(file);
  int length = snprintf(line, sizeof line, "%" PRIu64 "\n", mapped_bytes() - at_start);
  return write(1, line, (size_t)length) != length;
}
