// Blocks that libc keeps for itself are nobody's leak. Those that it makes for its caller are (as `program given`).
//! leak: kind=heap live=1 bytes=6 by=malloc function=main line=@own
//! clean:
#include <libintl.h>
#include <locale.h>
#include <pwd.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "planted.h"

static void nothing(void) {}

static void* closing_takes;
static int close_custom(void* cookie) {
  closing_takes = malloc(77);
  return cookie == NULL;
}

// strdup's copy, what an open_memstream leaves, and what the program itself takes while libc closes a stream.
static int be_given(void) {
  char *text, *copy = strdup("copy");
  size_t bytes;
  FILE* stream = open_memstream(&text, &bytes);
  fputs("text of a stream", stream);
  fclose(stream);
  FILE* custom = fopencookie(copy, "r", (cookie_io_functions_t){.close = close_custom});
  fclose(custom);
  return copy && text && closing_takes;
}

int main(int argc, char** argv) {
  setenv("PLANTED", "a variable", 1);
  setlocale(LC_ALL, "C.UTF-8");
  setenv("TZ", "Nowhere+3", 1);
  time_t now = time(NULL);
  localtime(&now);
  textdomain("planted");
  gettext("translate me");
  regex_t pattern;  // how characters are converted is found out within, and kept
  if (!regcomp(&pattern, "(a|b)*c[[:alpha:]]", REG_EXTENDED)) regfree(&pattern);
  setpwent();
  while (getpwent()) continue;
  endpwent();
  for (int i = 0; i < 100; i++) atexit(nothing);
  puts("into a buffer");
  char* own = malloc(6);  // @own
  if (leaking(argc, argv)) return own == argv[0];
  free(own);
  return argc > 1 && !strcmp(argv[1], "given") && !be_given();
}
