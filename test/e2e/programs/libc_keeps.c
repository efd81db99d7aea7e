// Blocks that libc keeps for itself are nobody's leak. Those that it makes for its caller are (as `program given`).
//! leak: kind=heap live=1 bytes=6 by=malloc function=main line=@own
//! clean:
#include <libintl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "planted.h"

static void nothing(void) {}

int main(int argc, char** argv) {
  setenv("PLANTED", "a variable", 1);
  setlocale(LC_ALL, "C.UTF-8");
  setenv("TZ", "Nowhere+3", 1);
  time_t now = time(NULL);
  localtime(&now);
  textdomain("planted");
  gettext("translate me");
  for (int i = 0; i < 100; i++) atexit(nothing);
  puts("into a buffer");
  char* own = malloc(6);  // @own
  if (leaking(argc, argv)) return own == argv[0];
  free(own);
  return argc > 1 && !strcmp(argv[1], "given") && !strdup("given");
}
