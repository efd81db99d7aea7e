// stdio and directory streams, and what else holds a file open behind a pointer.
#include "base/syscall.h"
#include "hook/stream.h"

using namespace unfreed;
using hook::adopted;
using hook::closing;
using hook::closing_fd;
using hook::descriptor_of;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using hook::opened;
using hook::process_closing;
using hook::process_opened;
using ledger::FdOwner;
using unwind::caller_registers;
using unwind::owning;
using unwind::Registers;

namespace {

/// freopen closes what the stream had and opens anew, as a rule under the same number.
template <class Call>
FILE* reopened(FILE* stream, const char* path, Hook hook, const Registers& from, Call call) {
  int before = descriptor_of(stream);
  track::FdRelease release = track::fd_release_begins(before, {hook_number(hook), from, stream});
  FILE* result = owning(call);
  track::fd_release_ends(before, release, true);
  track::FdDetails details{{FdOwner::file_stream, result}, path};
  details.flags = ledger::kFdPlaced;
  track::fd_acquired(descriptor_of(result), hook_number(hook), from, details);
  if (result) track::stream_opened(result);
  return result;
}

/// A walk through a tree of files holds the directory it started in, unless its options forbid leaving it (following
/// links implies that). Then it is heap blocks and nothing else, which are the program's.
bool holds_directory(int options) { return !(options & (FTS_NOCHDIR | FTS_LOGICAL)); }

/// What a walk allocates as it goes belongs to it, like what it began with.
template <class Call>
auto walk_going(int options, Call call) {
  return holds_directory(options) ? owning(call) : call();
}

template <class Walk>
Walk* walk_opened(Walk* walk, Hook hook, const Registers& from) {
  if (walk && !(walk->fts_options & FTS_NOCHDIR))
    track::fd_acquired(walk->fts_rfd, hook_number(hook), from, {{FdOwner::directory_stream, walk}});
  return walk;
}

template <class Walk, class Call>
int walk_closing(Walk* walk, Hook hook, const Registers& from, Call call) {
  return closing_fd(walk->fts_options & FTS_NOCHDIR ? -1 : walk->fts_rfd, walk, hook, from, call);
}

}  // namespace

pid_t hook::child_of(FILE* stream) {
  struct ProcessStream {
#ifdef __GLIBC__
    FILE file;
    const void* functions;
#else
    const void* others[15];
    int fd;
#endif
    pid_t child;
  };
  pid_t child = reinterpret_cast<ProcessStream*>(stream)->child;
  siginfo_t about{};
  long result = child > 0 ? base::raw_syscall(SYS_waitid, P_PID, child, reinterpret_cast<long>(&about),
                                              WEXITED | WNOHANG | WNOWAIT)
                          : -ECHILD;
  return base::is_error(result) ? 0 : child;
}

UNFREED_HOOK FILE* fopen(const char* path, const char* mode) {
  return opened(owning([&] { return g_real.fopen(path, mode); }), FdOwner::file_stream, Hook::fopen, caller_registers(),
                path);
}
UNFREED_HOOK FILE* fopen64(const char* path, const char* mode) {
  return opened(owning([&] { return g_real.fopen64(path, mode); }), FdOwner::file_stream, Hook::fopen64,
                caller_registers(), path);
}
UNFREED_HOOK FILE* _IO_fopen(const char* path, const char* mode) {
  return opened(owning([&] { return g_real._IO_fopen(path, mode); }), FdOwner::file_stream, Hook::_IO_fopen,
                caller_registers(), path);
}
UNFREED_HOOK FILE* freopen(const char* path, const char* mode, FILE* stream) {
  return reopened(stream, path, Hook::freopen, caller_registers(), [&] { return g_real.freopen(path, mode, stream); });
}
UNFREED_HOOK FILE* freopen64(const char* path, const char* mode, FILE* stream) {
  return reopened(stream, path, Hook::freopen64, caller_registers(),
                  [&] { return g_real.freopen64(path, mode, stream); });
}
UNFREED_HOOK FILE* fdopen(int fd, const char* mode) noexcept {
  return adopted(fd, FdOwner::file_stream, owning([&] { return g_real.fdopen(fd, mode); }));
}
UNFREED_HOOK FILE* _IO_fdopen(int fd, const char* mode) noexcept {
  return adopted(fd, FdOwner::file_stream, owning([&] { return g_real._IO_fdopen(fd, mode); }));
}
UNFREED_HOOK FILE* tmpfile() {
  return opened(owning([&] { return g_real.tmpfile(); }), FdOwner::file_stream, Hook::tmpfile, caller_registers());
}
UNFREED_HOOK FILE* tmpfile64() {
  return opened(owning([&] { return g_real.tmpfile64(); }), FdOwner::file_stream, Hook::tmpfile64, caller_registers());
}
UNFREED_HOOK FILE* popen(const char* command, const char* mode) {
  return process_opened(command, Hook::popen, caller_registers(), [&] { return g_real.popen(command, mode); });
}
UNFREED_HOOK FILE* _IO_popen(const char* command, const char* mode) {
  return process_opened(command, Hook::_IO_popen, caller_registers(), [&] { return g_real._IO_popen(command, mode); });
}

UNFREED_HOOK int fclose(FILE* stream) {
  return process_closing(stream, Hook::fclose, caller_registers(), [&] { return g_real.fclose(stream); });
}
UNFREED_HOOK int _IO_fclose(FILE* stream) {
  return process_closing(stream, Hook::_IO_fclose, caller_registers(), [&] { return g_real._IO_fclose(stream); });
}
UNFREED_HOOK int pclose(FILE* stream) {
  return process_closing(stream, Hook::pclose, caller_registers(), [&] { return g_real.pclose(stream); });
}
UNFREED_HOOK int fcloseall() {
  int result = g_real.fcloseall();
  track::fd_streams_closed();
  return result;
}

UNFREED_HOOK FILE* setmntent(const char* path, const char* mode) noexcept {
  return opened(owning([&] { return g_real.setmntent(path, mode); }), FdOwner::file_stream, Hook::setmntent,
                caller_registers(), path);
}
UNFREED_HOOK FILE* __setmntent(const char* path, const char* mode) noexcept {
  return opened(owning([&] { return g_real.__setmntent(path, mode); }), FdOwner::file_stream, Hook::__setmntent,
                caller_registers(), path);
}
UNFREED_HOOK int endmntent(FILE* stream) noexcept {
  return closing(stream, Hook::endmntent, caller_registers(), [&] { return g_real.endmntent(stream); });
}
UNFREED_HOOK int __endmntent(FILE* stream) noexcept {
  return closing(stream, Hook::__endmntent, caller_registers(), [&] { return g_real.__endmntent(stream); });
}

UNFREED_HOOK FTS* fts_open(char* const* paths, int options, int (*compare)(const FTSENT**, const FTSENT**)) {
  auto call = [&] { return g_real.fts_open(paths, options, compare); };
  return walk_opened(walk_going(options, call), Hook::fts_open, caller_registers());
}
UNFREED_HOOK FTS64* fts64_open(char* const* paths, int options, int (*compare)(const FTSENT64**, const FTSENT64**)) {
  auto call = [&] { return g_real.fts64_open(paths, options, compare); };
  return walk_opened(walk_going(options, call), Hook::fts64_open, caller_registers());
}
UNFREED_HOOK FTSENT* fts_read(FTS* walk) {
  return walk_going(walk->fts_options, [&] { return g_real.fts_read(walk); });
}
UNFREED_HOOK FTSENT64* fts64_read(FTS64* walk) {
  return walk_going(walk->fts_options, [&] { return g_real.fts64_read(walk); });
}
UNFREED_HOOK FTSENT* fts_children(FTS* walk, int options) {
  return walk_going(walk->fts_options, [&] { return g_real.fts_children(walk, options); });
}
UNFREED_HOOK FTSENT64* fts64_children(FTS64* walk, int options) {
  return walk_going(walk->fts_options, [&] { return g_real.fts64_children(walk, options); });
}
UNFREED_HOOK int fts_close(FTS* walk) {
  return walk_closing(walk, Hook::fts_close, caller_registers(), [&] { return g_real.fts_close(walk); });
}
UNFREED_HOOK int fts64_close(FTS64* walk) {
  return walk_closing(walk, Hook::fts64_close, caller_registers(), [&] { return g_real.fts64_close(walk); });
}

UNFREED_HOOK DIR* opendir(const char* path) {
  return opened(owning([&] { return g_real.opendir(path); }), FdOwner::directory_stream, Hook::opendir,
                caller_registers(), path);
}
UNFREED_HOOK DIR* fdopendir(int fd) {
  return adopted(fd, FdOwner::directory_stream, owning([&] { return g_real.fdopendir(fd); }));
}
UNFREED_HOOK int closedir(DIR* stream) {
  return closing(stream, Hook::closedir, caller_registers(), [&] { return g_real.closedir(stream); });
}
