// Blocks that libc keeps for itself are nobody's leak: as `program FUNCTION`, one of its functions that do so. Those
// that it makes for its caller are: as `program given`. As `program both`, functions do both.
//! leak: kind=heap live=1 bytes=6 by=malloc function=main line=@own
//! clean:
#include <aio.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <iconv.h>
#include <libintl.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
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

// What they return, and what they remember from then on.
static struct addrinfo* addresses;
static iconv_t conversion;
static char* wide_text;
static void be_given_and_keep(void) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
  getaddrinfo("localhost", NULL, &hints, &addresses);  // @addresses
  conversion = iconv_open("UTF-16", "ISO-8859-2");     // @conversion
  asprintf(&wide_text, "%ls", L"text from wide");      // @wide
}

static void count_addresses(void) {
  int count = 0;
  for (struct addrinfo* one = addresses; one; one = one->ai_next) count++;
  printf("%d\n", count);
}

static void look_up(void) {
  be_given_and_keep();
  freeaddrinfo(addresses);
  iconv_close(conversion);
  free(wide_text);
}

// A thread on a processor has no stack that could be looked at.
static void wait_until_the_other_thread_sleeps(void) {
  glob_t threads;
  for (char state = 'R'; state != 'S'; usleep(1000)) {
    glob("/proc/self/task/*/stat", 0, NULL, &threads);
    for (size_t i = 0; i < threads.gl_pathc && state != 'S'; i++) {
      int tid;
      FILE* file = fopen(threads.gl_pathv[i], "r");
      if (fscanf(file, "%d (libc_keeps) %c", &tid, &state) != 2 || tid == getpid()) state = 'R';
      fclose(file);
    }
    globfree(&threads);
  }
}

static void read_in_background(void) {
  static char buffer[4];
  struct aiocb request = {.aio_fildes = open("/etc/passwd", O_RDONLY), .aio_buf = buffer, .aio_nbytes = sizeof buffer};
  aio_read(&request);
  const struct aiocb* const requests[] = {&request};
  aio_suspend(requests, 1, NULL);
  close(request.aio_fildes);
  wait_until_the_other_thread_sleeps();
}

static void rung(union sigval value) { (void)value; }
static void time_by_thread(void) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = rung};
  timer_t timer;
  timer_create(CLOCK_MONOTONIC, &event, &timer);
  timer_delete(timer);
  wait_until_the_other_thread_sleeps();
}

int main(int argc, char** argv) {
  const char* wanted = argc > 1 ? argv[1] : "";
  setlocale(LC_ALL, "C.UTF-8");
  time_t now = time(NULL);
  if (!strcmp(wanted, "given")) be_given();
  if (!strcmp(wanted, "both")) be_given_and_keep(), count_addresses();
  if (!strcmp(wanted, "look_up")) look_up();
  if (!strcmp(wanted, "fnmatch")) fnmatch("*.\u00e4[a-z]", "text.\u00e4b", 0);
  if (!strcmp(wanted, "fputws")) fputws(L"wide\n", stdout);
  glob_t found;
  if (!strcmp(wanted, "glob")) glob("/et[a-c]/\u00e4*", 0, NULL, &found), globfree(&found);
  if (!strcmp(wanted, "aio_read")) read_in_background();
  if (!strcmp(wanted, "timer")) time_by_thread();
  if (!strcmp(wanted, "look_up_and_exit")) look_up(), _exit(0);
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
