/* Stands for a liburing that has functions which this machine's lacks. Preloaded behind unfreed and before liburing,
   whose earlier functions do the work, without a detour by the hooks. */
#include <dlfcn.h>
#include <string.h>

typedef int Initialise(unsigned, void*, void*);
typedef int Submit(void*, void**, unsigned, void*, void*);

/* `function` is the address of a pointer to one. */
static void find(const char* name, void* function) {
  void* found = dlsym(RTLD_NEXT, name);
  memcpy(function, &found, sizeof found);
}

int io_uring_queue_init_mem(unsigned entries, void* ring, void* parameters, void* memory, size_t bytes) {
  Initialise* initialise;
  (void)memory, (void)bytes;
  find("io_uring_queue_init_params", &initialise);
  int result = initialise(entries, ring, parameters);
  return result < 0 ? result : 4096; /* bytes of the memory that it uses */
}

static int submit(void* ring, void** entry, unsigned wanted, void* timeout, void* mask) {
  Submit* function;
  find("io_uring_submit_and_wait_timeout", &function);
  return function(ring, entry, wanted, timeout, mask);
}
int io_uring_submit_and_wait_min_timeout(void* ring, void** entry, unsigned wanted, void* timeout, unsigned least,
                                         void* mask) {
  (void)least;
  return submit(ring, entry, wanted, timeout, mask);
}
int io_uring_submit_and_wait_reg(void* ring, void** entry, unsigned wanted, int region) {
  (void)region;
  return submit(ring, entry, wanted, NULL, NULL);
}
