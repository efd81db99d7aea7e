// Descriptors closed by who has no right to. misuse CASE…; each case is a function of its own.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int take(void) { return open("/dev/null", O_RDONLY); }  // @take
static void first(int fd) { close(fd); }                       // @first
static void again(int fd) {
  if (close(fd) != -1 || errno != EBADF) printf("close is not what it was\n");  // @again
}

static void* close_in_thread(void* fd) {
  first(*(int*)fd);
  return NULL;
}

static void twice(void) {
  for (int i = 0; i < 3; ++i) {
    int fd = take();
    first(fd);
    again(fd);
  }
}
static void twice_by_two(void) {
  int fd = take();
  pthread_t thread;
  pthread_create(&thread, NULL, close_in_thread, &fd);
  pthread_join(thread, NULL);
  again(fd);
}
static void pair_twice(void) {
  int ends[2];
  if (pipe(ends) != 0) return;
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 2; ++i) close(ends[i]);  // @pair
}
static void never_open(void) { again(777); }
static void behind_stream(void) {
  FILE* file = fopen("/dev/null", "r");  // @stream
  close(fileno(file));                   // @behind
  fclose(file);
}
static void behind_directory(void) {
  DIR* directory = opendir("/");
  close(dirfd(directory));
  closedir(directory);
}
static void stale(void) {
  FILE* file = fopen("/dev/null", "r");
  close(fileno(file));
  take();
  fclose(file);  // @stale
}

// No misuse.
static void sweep(void) {
  for (int fd = 10; fd < 20; ++fd) dup2(take(), fd);
  fopen("/dev/null", "r");
  for (int fd = 3; fd < 200; ++fd) close(fd);
  for (int fd = 3; fd < 200; ++fd) close(fd);
  for (int fd = 200; fd > 2; --fd)
    if (fd % 5) close(fd);
}
static void close_for(int fd) { close(fd); }  // whom all others call to close
static void by_wrapper(void) {
  int fds[12];
  for (int i = 0; i < 12; ++i) fds[i] = take();
  for (int i = 0; i < 12; ++i) close_for(fds[i]);
  close_for(fds[5]);  // @wrapped
}
static void clean_child(void) {
  FILE* file = fopen("/dev/null", "r");
  if (fork() == 0) {
    close(fileno(file));
    close(0);
    close(0);
    _exit(0);
  }
  wait(NULL);
  fclose(file);
}
static void clean(void) {
  int fd = take();
  close(fd);
  FILE* file = fdopen(take(), "r");
  fclose(file);
  close(-1);
  errno = 0;
  DIR* directory = fdopendir(open("/", O_RDONLY | O_DIRECTORY));
  closedir(directory);
  // A stream's number may be given a new meaning.
  file = fopen("/dev/null", "r");
  int other = open("/dev/zero", O_RDONLY);
  dup2(other, fileno(file));
  close(other);
  fclose(file);
}

int main(int count, char** cases) {
  static const struct {
    const char* name;
    void (*run)(void);
  } kCases[] = {{"twice", twice},
                {"twice_by_two", twice_by_two},
                {"pair_twice", pair_twice},
                {"never_open", never_open},
                {"behind_stream", behind_stream},
                {"behind_directory", behind_directory},
                {"stale", stale},
                {"sweep", sweep},
                {"by_wrapper", by_wrapper},
                {"clean_child", clean_child},
                {"clean", clean}};
  for (int i = 1; i < count; ++i)
    for (size_t j = 0; j < sizeof kCases / sizeof *kCases; ++j)
      if (!strcmp(cases[i], kCases[j].name)) kCases[j].run();
  return 0;
}
