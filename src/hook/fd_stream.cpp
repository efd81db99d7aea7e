// stdio and directory streams: a stream owns its descriptor, so the two are one resource. What libc allocates for the
// stream itself comes and goes with it and is not counted apart.
#include <cerrno>

#include "hook/real.h"
#include "track/fd.h"
#include "track/thread_state.h"

using namespace unfreed;
using hook::Door;
using hook::door;
using hook::g_real;
using ledger::FdOwner;
using track::HeapGuard;
using unwind::caller_registers;
using unwind::Registers;

namespace {

/// The descriptor of a stream, −1 for none (fmemopen …); keeps errno.
int descriptor_of(FILE* stream) {
  int saved = errno;
  int fd = stream ? fileno(stream) : -1;
  errno = saved;
  return fd;
}
int descriptor_of(DIR* stream) {
  int saved = errno;
  int fd = stream ? dirfd(stream) : -1;
  errno = saved;
  return fd;
}

template <class Stream>
Stream* opened(Stream* stream, FdOwner owner, Door d, const Registers& from) {
  track::fd_acquired(descriptor_of(stream), door(d), from, {owner, stream});
  return stream;
}

template <class Call>
auto guarded(Call call) {
  HeapGuard guard;
  return call();
}

template <class Stream, class Call>
int closing(Stream* stream, Call call) {
  int fd = descriptor_of(stream);
  track::FdRelease release = track::fd_detach(fd);
  int result = guarded(call);
  track::fd_settle(fd, release,
                   true);  // whatever the result says (a failed flush, a child's status), the stream is gone
  return result;
}

/// freopen closes what the stream had and opens anew, as a rule under the same number.
template <class Call>
FILE* reopened(FILE* stream, Door d, const Registers& from, Call call) {
  int before = descriptor_of(stream);
  track::FdRelease release = track::fd_detach(before);
  FILE* result = guarded(call);
  track::fd_settle(before, release, true);
  return opened(result, FdOwner::file_stream, d, from);
}

}  // namespace

UNFREED_HOOK FILE* fopen(const char* path, const char* mode) {
  return opened(guarded([&] { return g_real.fopen(path, mode); }), FdOwner::file_stream, Door::fopen,
                caller_registers());
}
UNFREED_HOOK FILE* fopen64(const char* path, const char* mode) {
  return opened(guarded([&] { return g_real.fopen64(path, mode); }), FdOwner::file_stream, Door::fopen64,
                caller_registers());
}
UNFREED_HOOK FILE* _IO_fopen(const char* path, const char* mode) {
  return opened(guarded([&] { return g_real._IO_fopen(path, mode); }), FdOwner::file_stream, Door::_IO_fopen,
                caller_registers());
}
UNFREED_HOOK FILE* freopen(const char* path, const char* mode, FILE* stream) {
  return reopened(stream, Door::freopen, caller_registers(), [&] { return g_real.freopen(path, mode, stream); });
}
UNFREED_HOOK FILE* freopen64(const char* path, const char* mode, FILE* stream) {
  return reopened(stream, Door::freopen64, caller_registers(), [&] { return g_real.freopen64(path, mode, stream); });
}
UNFREED_HOOK FILE* fdopen(int fd, const char* mode) noexcept {
  FILE* stream = guarded([&] { return g_real.fdopen(fd, mode); });
  if (stream) track::fd_adopted(fd, {FdOwner::file_stream, stream});
  return stream;
}
UNFREED_HOOK FILE* _IO_fdopen(int fd, const char* mode) noexcept {
  FILE* stream = guarded([&] { return g_real._IO_fdopen(fd, mode); });
  if (stream) track::fd_adopted(fd, {FdOwner::file_stream, stream});
  return stream;
}
UNFREED_HOOK FILE* tmpfile() {
  return opened(guarded([&] { return g_real.tmpfile(); }), FdOwner::file_stream, Door::tmpfile, caller_registers());
}
UNFREED_HOOK FILE* tmpfile64() {
  return opened(guarded([&] { return g_real.tmpfile64(); }), FdOwner::file_stream, Door::tmpfile64, caller_registers());
}
UNFREED_HOOK FILE* popen(const char* command, const char* mode) {
  return opened(guarded([&] { return g_real.popen(command, mode); }), FdOwner::popen_stream, Door::popen,
                caller_registers());
}
UNFREED_HOOK FILE* _IO_popen(const char* command, const char* mode) {
  return opened(guarded([&] { return g_real._IO_popen(command, mode); }), FdOwner::popen_stream, Door::_IO_popen,
                caller_registers());
}

UNFREED_HOOK int fclose(FILE* stream) {
  return closing(stream, [&] { return g_real.fclose(stream); });
}
UNFREED_HOOK int _IO_fclose(FILE* stream) {
  return closing(stream, [&] { return g_real._IO_fclose(stream); });
}
UNFREED_HOOK int pclose(FILE* stream) {
  return closing(stream, [&] { return g_real.pclose(stream); });
}
UNFREED_HOOK int fcloseall() {
  int result = guarded([&] { return g_real.fcloseall(); });
  track::fd_streams_closed();
  return result;
}

UNFREED_HOOK DIR* opendir(const char* path) {
  return opened(guarded([&] { return g_real.opendir(path); }), FdOwner::directory_stream, Door::opendir,
                caller_registers());
}
UNFREED_HOOK DIR* fdopendir(int fd) {
  DIR* stream = guarded([&] { return g_real.fdopendir(fd); });
  if (stream) track::fd_adopted(fd, {FdOwner::directory_stream, stream});
  return stream;
}
UNFREED_HOOK int closedir(DIR* stream) {
  return closing(stream, [&] { return g_real.closedir(stream); });
}
