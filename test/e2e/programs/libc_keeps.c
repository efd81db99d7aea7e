// Blocks that libc keeps for itself are nobody's leak: as `program FUNCTION`, one of its functions that do so. Those that
// it makes for its caller are: as `program given`.
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
#include <wchar.h>

#include "planted.h"

static void nothing(void) {}

static void* closing_takes;
static int close_custom(void* cookie) {
  closing_takes = malloc(77);
  return cookie == NULL;
}

// strdup's copy, what an open_memstream leaves, and what the program itself takes while libc closes a stream.
static void be_given(void) {
  char *text, *copy = strdup("copy");
  size_t bytes;
  FILE* stream = open_memstream(&text, &bytes);
  fputs("text of a stream", stream);
  fclose(stream);
  FILE* custom = fopencookie(copy, "r", (cookie_io_functions_t){.close = close_custom});
  fclose(custom);
}

int main(int argc, char** argv) {
  const char* wanted = argc > 1 ? argv[1] : "";
  setlocale(LC_ALL, "C.UTF-8");
  time_t now = time(NULL);
  if (!strcmp(wanted, "given")) be_given();
  if (!strcmp(wanted, "setenv")) setenv("PLANTED", "a variable", 1);
  if (!strcmp(wanted, "localtime")) localtime(&now);
  if (!strcmp(wanted, "gmtime")) gmtime(&now);
  if (!strcmp(wanted, "gettext")) gettext("translate me");
  if (!strcmp(wanted, "getpwent")) getpwent(), endpwent();
  if (!strcmp(wanted, "atexit"))
    for (int i = 0; i < 100; i++) atexit(nothing);
  if (!strcmp(wanted, "puts")) puts("into a buffer");
  if (!strcmp(wanted, "fgetwc")) fgetwc(stdin);
  wchar_t wide[9];
  if (!strcmp(wanted, "mbstowcs")) mbstowcs(wide, "text", 9);
  regex_t pattern;  // how characters are converted is found out within, and kept
  if (!strcmp(wanted, "regcomp") && !regcomp(&pattern, "(a|b)*c[[:alpha:]]", REG_EXTENDED)) regfree(&pattern);
  char* own = malloc(6);  // @own
  if (leaking(argc, argv)) return own == argv[0];
  free(own);
  return 0;
}
