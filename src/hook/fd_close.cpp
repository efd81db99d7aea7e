// Functions that close descriptors or duplicate them.
#include <cstdarg>

#include "hook/real.h"
#include "track/blind_spots.h"
#include "track/fd.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::caller_registers;

UNFREED_HOOK int close(int fd) {
  return track::fd_closing(fd, {hook_number(Hook::close), caller_registers()}, [&] { return g_real.close(fd); });
}
UNFREED_HOOK int __close(int fd) {
  return track::fd_closing(fd, {hook_number(Hook::__close), caller_registers()}, [&] { return g_real.__close(fd); });
}

UNFREED_HOOK int close_range(unsigned first, unsigned last, int flags) noexcept {
  auto call = [&] {
    int result = g_real.close_range(first, last, flags);
    if (result == 0 && flags & CLOSE_RANGE_UNSHARE) track::note_unshared_descriptors();
    return result;
  };
  if (flags & CLOSE_RANGE_CLOEXEC) return call();
  return track::fd_range_closing({first, last}, {hook_number(Hook::close_range), caller_registers()}, call);
}
UNFREED_HOOK void closefrom(int first) noexcept {
  track::fd_range_closing({first < 0 ? 0u : static_cast<unsigned>(first), ~0u},
                          {hook_number(Hook::closefrom), caller_registers()}, [&] {
                            g_real.closefrom(first);
                            return 0;
                          });
}

UNFREED_HOOK int dup(int fd) noexcept {
  return track::fd_duplicated(g_real.dup(fd), fd, hook_number(Hook::dup), caller_registers());
}
UNFREED_HOOK int dup2(int source, int target) noexcept {
  return track::fd_replacing(source, target, hook_number(Hook::dup2), caller_registers(),
                             [&] { return g_real.dup2(source, target); });
}
UNFREED_HOOK int __dup2(int source, int target) noexcept {
  return track::fd_replacing(source, target, hook_number(Hook::__dup2), caller_registers(),
                             [&] { return g_real.__dup2(source, target); });
}
UNFREED_HOOK int dup3(int source, int target, int flags) noexcept {
  return track::fd_replacing(source, target, hook_number(Hook::dup3), caller_registers(),
                             [&] { return g_real.dup3(source, target, flags); });
}

/// fcntl's optional argument is an int or a pointer: either way one register.
#define UNFREED_TAKE_ARGUMENT(last)          \
  va_list arguments;                         \
  va_start(arguments, last);                 \
  void* argument = va_arg(arguments, void*); \
  va_end(arguments);

namespace {
int fcntl_result(int result, int fd, int command, Hook hook, const unwind::Registers& from) {
  bool duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
  return duplicates ? track::fd_duplicated(result, fd, hook_number(hook), from) : result;
}
}  // namespace

UNFREED_HOOK int fcntl(int fd, int command, ...) {
  UNFREED_TAKE_ARGUMENT(command)
  return fcntl_result(g_real.fcntl(fd, command, argument), fd, command, Hook::fcntl, caller_registers());
}
UNFREED_HOOK int fcntl64(int fd, int command, ...) {
  UNFREED_TAKE_ARGUMENT(command)
  return fcntl_result(g_real.fcntl64(fd, command, argument), fd, command, Hook::fcntl64, caller_registers());
}
UNFREED_HOOK int __fcntl(int fd, int command, ...) {
  UNFREED_TAKE_ARGUMENT(command)
  return fcntl_result(g_real.__fcntl(fd, command, argument), fd, command, Hook::__fcntl, caller_registers());
}
