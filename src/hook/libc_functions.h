// Declarations of everything in hooks.inc: from the system headers, and here for functions that no header declares
// (internal aliases, fortified variants, operator new and delete under their linkage names). The compiler checks each
// hook against its declaration.
#pragma once

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <fts.h>
#include <malloc.h>
#include <mntent.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <syslog.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <cstdarg>
#include <cstddef>

#include "base/later_headers.h"

struct open_how;
struct io_uring;
struct io_uring_cqe;
struct io_uring_params;

/// As the headers declare them.
#ifdef __GLIBC__
using IoctlRequest = unsigned long;
using ReceiveFlags = int;
#else
using IoctlRequest = int;
using ReceiveFlags = unsigned;
#endif

/// std::nothrow_t and std::align_val_t as the ABI passes them.
struct NothrowTag;

extern "C" {
int __open(const char*, int, ...);
int __open64(const char*, int, ...);
int __open_2(const char*, int);
int __open64_2(const char*, int);
int __openat_2(int, const char*, int);
int __openat64_2(int, const char*, int);
int __close(int);
int __poll(pollfd*, nfds_t, int);
int __poll_chk(pollfd*, nfds_t, int, size_t room);
ssize_t __read(int, void*, size_t);
ssize_t __read_chk(int, void*, size_t, size_t room);
pid_t __fork() noexcept;
pid_t __vfork() noexcept;
int __clone(int (*)(void*), void*, int, void*, ...) noexcept;
pid_t __wait(int*);
pid_t __waitpid(pid_t, int*, int);
int __dup2(int, int) noexcept;
int __fcntl(int, int, ...);
int __pipe(int*) noexcept;
FILE* _IO_fopen(const char*, const char*);
int _IO_fclose(FILE*);
FILE* _IO_fdopen(int, const char*) noexcept;
FILE* _IO_popen(const char*, const char*);
FILE* _IO_file_fopen(FILE*, const char* path, const char* mode, int is_32_bit);
FILE* _IO_file_open(FILE*, const char* path, int flags, int mode, int stream_flags, int is_32_bit);
FILE* _IO_file_attach(FILE*, int);
int _IO_file_close_it(FILE*);
int _IO_file_close(FILE*);
FILE* _IO_proc_open(FILE*, const char* command, const char* mode);
int _IO_proc_close(FILE*);
FILE* __setmntent(const char*, const char*) noexcept;
int __endmntent(FILE*) noexcept;
mqd_t __mq_open_2(const char*, int) noexcept;
__sighandler_t bsd_signal(int, __sighandler_t) noexcept;
void __syslog_chk(int, int, const char*, ...);
void __vsyslog_chk(int, int, const char*, va_list);
int openat2(int, const char*, const open_how*, size_t);
int open_tree(int, const char*, unsigned) noexcept;
int fsopen(const char*, unsigned) noexcept;
int fspick(int, const char*, unsigned) noexcept;
int fsmount(int, unsigned, unsigned) noexcept;
int pidfd_open(pid_t, unsigned) noexcept;
int pidfd_getfd(int, int, unsigned) noexcept;
int pidfd_spawn(int*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*, char* const*,
                char* const*);
int pidfd_spawnp(int*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*, char* const*,
                 char* const*);
int epoll_pwait2(int, epoll_event*, int, const timespec*, const sigset_t*);
void closefrom(int) noexcept;
int close_range(unsigned, unsigned, int) noexcept;
pid_t _Fork() noexcept;
int execveat(int, const char*, char* const*, char* const*, int) noexcept;
void cfree(void*) noexcept;
void free_sized(void*, size_t) noexcept;
void free_aligned_sized(void*, size_t, size_t) noexcept;

/// liburing's functions.
int io_uring_queue_init(unsigned entries, io_uring*, unsigned flags) noexcept;
int io_uring_queue_init_params(unsigned entries, io_uring*, io_uring_params*) noexcept;
int io_uring_queue_init_mem(unsigned entries, io_uring*, io_uring_params*, void* memory, size_t bytes) noexcept;
void io_uring_queue_exit(io_uring*) noexcept;
int io_uring_submit(io_uring*) noexcept;
int io_uring_submit_and_wait(io_uring*, unsigned wanted) noexcept;
int io_uring_submit_and_wait_timeout(io_uring*, io_uring_cqe**, unsigned wanted, void* timeout, sigset_t*) noexcept;
int io_uring_submit_and_get_events(io_uring*) noexcept;
int io_uring_submit_and_wait_min_timeout(io_uring*, io_uring_cqe**, unsigned wanted, void* timeout, unsigned least_us,
                                         sigset_t* mask) noexcept;
int io_uring_submit_and_wait_reg(io_uring*, io_uring_cqe**, unsigned wanted, int region) noexcept;
int __io_uring_get_cqe(io_uring*, io_uring_cqe**, unsigned submitted, unsigned wanted, void* mask) noexcept;
int io_uring_setup(unsigned entries, io_uring_params*) noexcept;

/// glibc's own names for its allocator.
void* __libc_malloc(size_t) noexcept;
void* __libc_calloc(size_t, size_t) noexcept;
void* __libc_realloc(void*, size_t) noexcept;
void* __libc_memalign(size_t, size_t) noexcept;
void* __libc_valloc(size_t) noexcept;
void* __libc_pvalloc(size_t) noexcept;
void __libc_free(void*) noexcept;

/// jemalloc's own functions.
void* mallocx(size_t, int);
void* rallocx(void*, size_t, int);
size_t xallocx(void*, size_t, size_t, int);
void dallocx(void*, int);
void sdallocx(void*, size_t, int);

void* _Znwm(size_t);
void* _ZnwmRKSt9nothrow_t(size_t, const NothrowTag&);
void* _ZnwmSt11align_val_t(size_t, size_t);
void* _ZnwmSt11align_val_tRKSt9nothrow_t(size_t, size_t, const NothrowTag&);
void* _Znam(size_t);
void* _ZnamRKSt9nothrow_t(size_t, const NothrowTag&);
void* _ZnamSt11align_val_t(size_t, size_t);
void* _ZnamSt11align_val_tRKSt9nothrow_t(size_t, size_t, const NothrowTag&);
void _ZdlPv(void*);
void _ZdlPvm(void*, size_t);
void _ZdlPvRKSt9nothrow_t(void*, const NothrowTag&);
void _ZdlPvSt11align_val_t(void*, size_t);
void _ZdlPvmSt11align_val_t(void*, size_t, size_t);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void*, size_t, const NothrowTag&);
void _ZdaPv(void*);
void _ZdaPvm(void*, size_t);
void _ZdaPvRKSt9nothrow_t(void*, const NothrowTag&);
void _ZdaPvSt11align_val_t(void*, size_t);
void _ZdaPvmSt11align_val_t(void*, size_t, size_t);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void*, size_t, const NothrowTag&);
}
