/* A library whose constructors the loader runs before all others' (-z initfirst), unfreed's included: as libpthread
   does before glibc 2.34. What it acquires in its constructor is held to the end; what it acquires later it releases in
   its destructor. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int g_early, g_late;
static void* volatile g_block;

__attribute__((constructor)) static void acquire_early(void) {
  g_early = open("/dev/null", O_RDONLY); /* @early */
  g_block = malloc(123);                 /* @block */
}

__attribute__((visibility("default"))) int acquire_late(void) {
  g_late = open("/dev/null", O_RDONLY);
  return g_late > g_early ? 0 : 1;
}

__attribute__((destructor)) static void release_late(void) { close(g_late); }
