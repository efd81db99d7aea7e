// Functions that open a file by name, or make one without.
#include <cstdarg>

#include "hook/real.h"
#include "track/fd.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using track::fd_acquired;
using track::fd_opened;
using unwind::caller_registers;

namespace {
/// The mode argument exists where a file may be made: with O_CREAT and with O_TMPFILE (whose bits include O_DIRECTORY).
bool has_mode(int flags) { return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE; }
}  // namespace

/// Takes the optional mode of the variadic function it stands in.
#define UNFREED_TAKE_MODE(last)       \
  mode_t mode = 0;                    \
  if (has_mode(flags)) {              \
    va_list arguments;                \
    va_start(arguments, last);        \
    mode = va_arg(arguments, mode_t); \
    va_end(arguments);                \
  }

UNFREED_HOOK int open(const char* path, int flags, ...) {
  UNFREED_TAKE_MODE(flags)
  return fd_opened(g_real.open(path, flags, mode), path, hook_number(Hook::open), caller_registers());
}
UNFREED_HOOK int open64(const char* path, int flags, ...) {
  UNFREED_TAKE_MODE(flags)
  return fd_opened(g_real.open64(path, flags, mode), path, hook_number(Hook::open64), caller_registers());
}
UNFREED_HOOK int __open(const char* path, int flags, ...) {
  UNFREED_TAKE_MODE(flags)
  return fd_opened(g_real.__open(path, flags, mode), path, hook_number(Hook::__open), caller_registers());
}
UNFREED_HOOK int __open64(const char* path, int flags, ...) {
  UNFREED_TAKE_MODE(flags)
  return fd_opened(g_real.__open64(path, flags, mode), path, hook_number(Hook::__open64), caller_registers());
}
UNFREED_HOOK int __open_2(const char* path, int flags) {
  return fd_opened(g_real.__open_2(path, flags), path, hook_number(Hook::__open_2), caller_registers());
}
UNFREED_HOOK int __open64_2(const char* path, int flags) {
  return fd_opened(g_real.__open64_2(path, flags), path, hook_number(Hook::__open64_2), caller_registers());
}
UNFREED_HOOK int openat(int directory, const char* path, int flags, ...) {
  UNFREED_TAKE_MODE(flags)
  return fd_opened(g_real.openat(directory, path, flags, mode), path, hook_number(Hook::openat), caller_registers());
}
UNFREED_HOOK int openat64(int directory, const char* path, int flags, ...) {
  UNFREED_TAKE_MODE(flags)
  return fd_opened(g_real.openat64(directory, path, flags, mode), path, hook_number(Hook::openat64),
                   caller_registers());
}
UNFREED_HOOK int __openat_2(int directory, const char* path, int flags) {
  return fd_opened(g_real.__openat_2(directory, path, flags), path, hook_number(Hook::__openat_2), caller_registers());
}
UNFREED_HOOK int __openat64_2(int directory, const char* path, int flags) {
  return fd_opened(g_real.__openat64_2(directory, path, flags), path, hook_number(Hook::__openat64_2),
                   caller_registers());
}
UNFREED_HOOK int creat(const char* path, mode_t mode) {
  return fd_opened(g_real.creat(path, mode), path, hook_number(Hook::creat), caller_registers());
}
UNFREED_HOOK int creat64(const char* path, mode_t mode) {
  return fd_opened(g_real.creat64(path, mode), path, hook_number(Hook::creat64), caller_registers());
}
UNFREED_HOOK int open_by_handle_at(int mount, file_handle* handle, int flags) {
  return fd_acquired(g_real.open_by_handle_at(mount, handle, flags), hook_number(Hook::open_by_handle_at),
                     caller_registers());
}

UNFREED_HOOK int mkstemp(char* name) {
  return fd_opened(g_real.mkstemp(name), name, hook_number(Hook::mkstemp), caller_registers());
}
UNFREED_HOOK int mkstemp64(char* name) {
  return fd_opened(g_real.mkstemp64(name), name, hook_number(Hook::mkstemp64), caller_registers());
}
UNFREED_HOOK int mkostemp(char* name, int flags) {
  return fd_opened(g_real.mkostemp(name, flags), name, hook_number(Hook::mkostemp), caller_registers());
}
UNFREED_HOOK int mkostemp64(char* name, int flags) {
  return fd_opened(g_real.mkostemp64(name, flags), name, hook_number(Hook::mkostemp64), caller_registers());
}
UNFREED_HOOK int mkstemps(char* name, int suffix) {
  return fd_opened(g_real.mkstemps(name, suffix), name, hook_number(Hook::mkstemps), caller_registers());
}
UNFREED_HOOK int mkstemps64(char* name, int suffix) {
  return fd_opened(g_real.mkstemps64(name, suffix), name, hook_number(Hook::mkstemps64), caller_registers());
}
UNFREED_HOOK int mkostemps(char* name, int suffix, int flags) {
  return fd_opened(g_real.mkostemps(name, suffix, flags), name, hook_number(Hook::mkostemps), caller_registers());
}
UNFREED_HOOK int mkostemps64(char* name, int suffix, int flags) {
  return fd_opened(g_real.mkostemps64(name, suffix, flags), name, hook_number(Hook::mkostemps64), caller_registers());
}

UNFREED_HOOK int memfd_create(const char* name, unsigned flags) noexcept {
  return fd_acquired(g_real.memfd_create(name, flags), hook_number(Hook::memfd_create), caller_registers());
}
UNFREED_HOOK int shm_open(const char* name, int flags, mode_t mode) {
  return fd_opened(g_real.shm_open(name, flags, mode), name, hook_number(Hook::shm_open), caller_registers());
}
UNFREED_HOOK int posix_openpt(int flags) {
  return fd_acquired(g_real.posix_openpt(flags), hook_number(Hook::posix_openpt), caller_registers());
}
UNFREED_HOOK int getpt() { return fd_acquired(g_real.getpt(), hook_number(Hook::getpt), caller_registers()); }

UNFREED_HOOK int openat2(int directory, const char* path, const open_how* how, size_t how_bytes) {
  return fd_opened(g_real.openat2(directory, path, how, how_bytes), path, hook_number(Hook::openat2),
                   caller_registers());
}
UNFREED_HOOK int open_tree(int directory, const char* path, unsigned flags) noexcept {
  return fd_opened(g_real.open_tree(directory, path, flags), path, hook_number(Hook::open_tree), caller_registers());
}
UNFREED_HOOK int fsopen(const char* filesystem, unsigned flags) noexcept {
  return fd_acquired(g_real.fsopen(filesystem, flags), hook_number(Hook::fsopen), caller_registers());
}
UNFREED_HOOK int fspick(int directory, const char* path, unsigned flags) noexcept {
  return fd_opened(g_real.fspick(directory, path, flags), path, hook_number(Hook::fspick), caller_registers());
}
UNFREED_HOOK int fsmount(int filesystem, unsigned flags, unsigned attributes) noexcept {
  return fd_acquired(g_real.fsmount(filesystem, flags, attributes), hook_number(Hook::fsmount), caller_registers());
}
