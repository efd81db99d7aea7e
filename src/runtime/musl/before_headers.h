// Included before everything else in the build for musl: what libstdc++'s headers, which are configured for glibc, and
// the hooks take for granted.
#pragma once

#define __GLIBC_PREREQ(major, minor) 0

#include <dlfcn.h>
#include <fcntl.h>
#include <fts.h>
#include <link.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

using __locale_t = locale_t;
using __sighandler_t = sighandler_t;
using __rlimit_resource_t = int;
using __rlimit_resource = int;
using FTS64 = FTS;
using FTSENT64 = FTSENT;

// musl's headers make these names others' by macros; its library has both.
#undef open64
#undef openat64
#undef creat64
#undef mkstemp64
#undef mkostemp64
#undef mkstemps64
#undef mkostemps64
#undef fopen64
#undef freopen64
#undef tmpfile64
#undef mmap64
#undef setrlimit64
#undef prlimit64

#ifndef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0x00008
#endif
#ifndef LM_ID_BASE
#define LM_ID_BASE 0
using Lmid_t = long;
#endif

#ifndef W_EXITCODE
#define W_EXITCODE(status, signal) ((status) << 8 | (signal))  // wait(2)
#endif

#define __ELF_NATIVE_CLASS 64
#define RTLD_DL_LINKMAP 2

extern "C" {
[[gnu::visibility("hidden")]] extern ElfW(Dyn) _DYNAMIC[];

// libstdc++'s own use, in inline functions.
int pthread_cond_clockwait(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*);

int open64(const char*, int, ...);
int openat64(int, const char*, int, ...);
int creat64(const char*, mode_t);
int mkstemp64(char*);
int mkostemp64(char*, int);
int mkstemps64(char*, int);
int mkostemps64(char*, int, int);
FILE* fopen64(const char*, const char*);
FILE* freopen64(const char*, const char*, FILE*);
FILE* tmpfile64();
void* mmap64(void*, size_t, int, int, int, off_t) noexcept;
int setrlimit64(int, const rlimit*) noexcept;
int prlimit64(pid_t, int, const rlimit*, rlimit*) noexcept;

// Only glibc has these; the hooks of them are hidden (hook/own_exports.h).
int fcntl64(int, int, ...);
int fcloseall();
int getpt();
void* pvalloc(size_t) noexcept;
int pthread_clockjoin_np(pthread_t, void**, clockid_t, const timespec*);
__sighandler_t ssignal(int, __sighandler_t) noexcept;
__sighandler_t sysv_signal(int, __sighandler_t) noexcept;
__sighandler_t __sysv_signal(int, __sighandler_t) noexcept;
void* dlmopen(Lmid_t, const char*, int) noexcept;
FTS64* fts64_open(char* const*, int, int (*)(const FTSENT64**, const FTSENT64**));
FTSENT64* fts64_read(FTS64*);
FTSENT64* fts64_children(FTS64*, int);
int fts64_close(FTS64*);
}
