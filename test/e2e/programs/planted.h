// Shared by the small programs of this folder. Each is run as `program leak` and as `program clean`; what it must hold
// at its end stands in its own `//!` lines (see ../test_programs.py).
//
// With PLANT in the environment a program also holds one descriptor and one heap block that are planted here, before
// main: a run that is expected to be clean must show exactly these, so a detector that sees nothing cannot pass.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

static volatile int planted_fd = -1;  // volatile: or -O2 would see through it all
static void* volatile planted_block;

__attribute__((noinline)) static void plant(void) {
  planted_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);  // @planted-fd
  planted_block = malloc(4242);                          // @planted-block
}

__attribute__((constructor)) static void plant_when_asked(void) {
  if (getenv("PLANT")) plant();
}

/// Was the program asked to leak?
static inline int leaking(int argc, char** argv) { return argc > 1 && !strcmp(argv[1], "leak"); }

#ifdef __cplusplus
}
#endif
