// Descriptors closed by who has no right to. misuse CASE…; each case is a function of its own.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
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

static void minus_one(void) {
  for (int i = 0; i < 3; ++i) close(-1);  // @minus_one
}
static void range_of_one(void) {
  FILE* file = fopen("/dev/null", "r");
  close_range(fileno(file), fileno(file), 0);  // @range
  fclose(file);
}

// A number that has two owners: the first closes it again when it is the second's.
static int second;
static void* open_second(void* unused) {
  second = open("/dev/zero", O_RDONLY);  // @second
  return unused;
}
static void* close_second(void* unused) {
  close(second);
  return unused;
}
static void in_thread(void* (*work)(void*)) {
  pthread_t thread;
  pthread_create(&thread, NULL, work, NULL);
  pthread_join(thread, NULL);
}
static int open_first(void) {
  return dup(1);  // @first_of_two
}
static void end_first(int fd) {
  close(fd);  // @end_first
}
static void end_second(void) {
  close(second);  // @end_second
}
static void taken_over(void) {
  int fd = open_first();
  end_first(fd);  // @taken_over
  open_second(NULL);
  end_first(fd);  // @taken_over_again
  end_second();
}
static void end_first_again(int fd) {
  close(fd);  // @end_first_again
}
static void taken_over_elsewhere(void) {
  int fd = open_first();
  end_first(fd);
  open_second(NULL);
  end_first_again(fd);
  end_second();
}
static void taken_over_from_stream(void) {
  int fd = open_first();
  end_first(fd);
  FILE* stream = fopen("/dev/zero", "r");  // @stream_taken
  end_first_again(fd);
  if (stream) fclose(stream);
}
static int worker_asks, worker_answers;
static void* work(void* unused) {
  char byte;
  if (read(worker_asks, &byte, 1) != 1) return unused;
  open_second(NULL);
  if (write(worker_answers, &byte, 1) != 1 || read(worker_asks, &byte, 1) != 1) return unused;
  return close_second(unused);
}
static void taken_over_by_thread(void) {
  int to[2], from[2];
  char byte = 0;
  if (pipe(to) || pipe(from)) return;
  worker_asks = to[0];
  worker_answers = from[1];
  pthread_t thread;
  pthread_create(&thread, NULL, work, NULL);
  int fd = open_first();
  close(fd);  // @stop
  if (write(to[1], &byte, 1) != 1 || read(from[0], &byte, 1) != 1) return;
  close(fd);  // @destroy
  if (write(to[1], &byte, 1) != 1) return;
  pthread_join(thread, NULL);
  for (int i = 0; i < 2; ++i) close(to[i]), close(from[i]);
}
// The second owner closes twice itself, as the first had done its work in the same function.
static void own_fault(void) {
  int fd = open_first();
  end_first(fd);
  open_second(NULL);
  end_second();  // @own_fault
  end_second();  // @own_fault_again
}

static FILE* stream;
static DIR* directory;
static void end_stream(void) {
  fclose(stream);  // @end_stream
}
static void end_directory(void) {
  closedir(directory);  // @end_directory
}
static void streams_share(void) {
  int fd = open("/dev/zero", O_RDONLY);
  FILE *one = fdopen(fd, "r"), *other = fdopen(fd, "r");
  fclose(one);    // @share_one
  fclose(other);  // @share_other
}
static void directories_share(void) {
  int fd = open("/", O_RDONLY | O_DIRECTORY);
  DIR *one = fdopendir(fd), *other = fdopendir(fd);
  closedir(one);
  closedir(other);
}
static void stream_left_in_child(void) {
  FILE* stream = fopen("/dev/zero", "r");
  if (fork() == 0) {
    close(fileno(stream));
    fclose(stream);
    exit(0);
  }
  wait(NULL);
  fclose(stream);
}
static void stream_left_and_reused(void) {
  FILE* stream = fopen("/dev/zero", "r");
  int fd = fileno(stream);
  close(fd);
  for (int i = 0; i < 2; ++i) close(open("/dev/null", O_RDONLY));
  fclose(stream);
}
static void stream_left(void) {
  FILE* stream = fopen("/dev/zero", "r");
  close(fileno(stream));
  fclose(stream);
}
static void stream_twice(void) {
  stream = fopen("/dev/null", "r");
  end_stream();  // @stream_once
  end_stream();  // @stream_twice
}
static void directory_twice(void) {
  directory = opendir("/");
  end_directory();
  end_directory();
}
static void stdin_twice(void) {
  stream = freopen("/dev/null", "r", stdin);
  end_stream();
  end_stream();
}
static void pipe_twice(void) {
  stream = popen("true", "r");
  pclose(stream);
  pclose(stream);
}

struct connection {
  int fd;
};
static void drop(struct connection* connection) {
  close(connection->fd);  // @drop
}
static void zeroed(void) {
  struct connection never = {0};
  drop(&never);                               // @zeroed
  int mine = open("/proc/uptime", O_RDONLY);  // @accident
  drop(&never);
  if (read(mine, &never, 1) != -1) printf("%d is still open\n", mine);
}
static void zeroed_once(void) {
  struct connection never = {0};
  drop(&never);
}

// No misuse.
static void daemon_begins(void) {
  for (int fd = 0; fd < 3; ++fd) close(fd);
  for (int fd = 0; fd < 3; ++fd) take();
}
static void redirected(void) {
  close(0);
  open("/dev/null", O_RDONLY);
  close(1);
  dup(0);
  close(0);
  stdin = freopen("/dev/null", "r", stdin);
}
static void reused(void) {
  struct connection one, other;
  for (int i = 0; i < 20; ++i) {
    one.fd = take();
    drop(&one);
    other.fd = dup(1);
    drop(&other);
  }
}
static void handed_over(void) {
  for (int i = 0; i < 20; ++i) {
    int fd = take();
    close(fd);
    in_thread(open_second);
    close(second);
    second = dup(1);
    in_thread(close_second);
  }
}
static void streams(void) {
  char* text;
  size_t bytes;
  for (int i = 0; i < 50; ++i) {
    stream = fopen("/dev/null", "r");
    end_stream();
    stream = open_memstream(&text, &bytes);
    end_stream();
    free(text);
    stream = fmemopen(NULL, 100, "w");
    end_stream();
    stream = fdopen(take(), "r");
    end_stream();
    directory = opendir("/");
    end_directory();
  }
  fclose(stdin);
  fclose(stdin);
}
static void swept_away(void) {
  stream = fopen("/dev/null", "r");
  close_range(3, ~0u, 0);
  end_stream();
}
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
                {"minus_one", minus_one},
                {"range_of_one", range_of_one},
                {"taken_over", taken_over},
                {"taken_over_elsewhere", taken_over_elsewhere},
                {"taken_over_from_stream", taken_over_from_stream},
                {"taken_over_by_thread", taken_over_by_thread},
                {"own_fault", own_fault},
                {"stream_twice", stream_twice},
                {"directory_twice", directory_twice},
                {"stdin_twice", stdin_twice},
                {"pipe_twice", pipe_twice},
                {"zeroed", zeroed},
                {"zeroed_once", zeroed_once},
                {"daemon_begins", daemon_begins},
                {"redirected", redirected},
                {"reused", reused},
                {"handed_over", handed_over},
                {"streams", streams},
                {"streams_share", streams_share},
                {"directories_share", directories_share},
                {"stream_left", stream_left},
                {"stream_left_in_child", stream_left_in_child},
                {"stream_left_and_reused", stream_left_and_reused},
                {"swept_away", swept_away},
                {"sweep", sweep},
                {"by_wrapper", by_wrapper},
                {"clean_child", clean_child},
                {"clean", clean}};
  for (int i = 1; i < count; ++i)
    for (size_t j = 0; j < sizeof kCases / sizeof *kCases; ++j)
      if (!strcmp(cases[i], kCases[j].name)) kCases[j].run();
  return 0;
}
