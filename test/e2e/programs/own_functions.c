/* A program that puts functions of its own in the place of libc's, as sanitizers and libfaketime do. It counts how often
   they are called: by nobody but itself. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int g_calls;

int clock_gettime(clockid_t clock, struct timespec* now) {
  ++g_calls;
  return (int)syscall(SYS_clock_gettime, clock, now);
}
void* memcpy(void* restrict to, const void* restrict from, size_t bytes) {
  ++g_calls;
  for (size_t i = 0; i < bytes; ++i) ((volatile char*)to)[i] = ((const volatile char*)from)[i];
  return to;
}
void* memset(void* to, int value, size_t bytes) {
  ++g_calls;
  for (size_t i = 0; i < bytes; ++i) ((volatile char*)to)[i] = (char)value;
  return to;
}
size_t strlen(const char* text) {
  ++g_calls;
  size_t bytes = 0;
  while (((const volatile char*)text)[bytes]) ++bytes;
  return bytes;
}
int sigaction(int number, const struct sigaction* new, struct sigaction* old) {
  (void)number, (void)new, (void)old;
  ++g_calls;
  errno = EPERM;
  return -1;
}
int on_exit(void (*function)(int, void*), void* argument) {
  (void)function, (void)argument;
  ++g_calls;
  return -1;
}
int pthread_key_create(pthread_key_t* key, void (*end)(void*)) {
  (void)key, (void)end;
  ++g_calls;
  return EAGAIN;
}
int pthread_attr_init(pthread_attr_t* attributes) {
  (void)attributes;
  ++g_calls;
  return ENOMEM;
}
int fflush(FILE* stream) {
  (void)stream;
  ++g_calls;
  return EOF;
}

static void* routine(void* argument) { return free(malloc(10)), argument; }

int main(void) {
  for (int i = 0; i < 3; ++i)
    if (open("/dev/null", O_RDONLY) < 0) return 1;  // @kept
  pthread_t thread;
  if (pthread_create(&thread, NULL, routine, NULL) || pthread_join(thread, NULL)) return 2;
  free(malloc(1000));
  printf("%d calls\n", g_calls);
  return 0;
}
