// Functions that may return a new descriptor in their result: most calls of them do not.
#include "hook/results.h"

#include <sys/ioctl.h>

#include <cstdarg>
#include <cstring>

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using unwind::caller_registers;
using unwind::Registers;

namespace {

/// Stands for a structure in a request's number.
template <size_t kBytes>
struct Bytes {
  char bytes[kBytes];
};

int number_at(const void* start, size_t offset) {
  int number;
  std::memcpy(&number, static_cast<const char*>(start) + offset, sizeof number);
  return number;
}

/// Recorded if it is a descriptor that has no record yet.
void take(int fd, Hook hook, const Registers& from) {
  if (fd < 0 || track::fd_origin_known(fd) != ledger::FdOrigin::none || !track::fd_is_open(fd)) return;
  track::fd_acquired(fd, hook_number(hook), from);
}

/// One event of fanotify(7), and what else is in it (FAN_REPORT_PIDFD).
void take_fanotify_event(const char* event, size_t bytes, Hook hook, const Registers& from) {
  constexpr size_t kHeadBytes = 24, kHeadBytesAt = 6, kFdAt = 16;
  constexpr uint8_t kPidfdInfo = 4;
  uint16_t head;
  std::memcpy(&head, event + kHeadBytesAt, sizeof head);
  take(number_at(event, kFdAt), hook, from);
  for (size_t at = head < kHeadBytes ? kHeadBytes : head; at + 8 <= bytes;) {
    uint16_t length;
    std::memcpy(&length, event + at + 2, sizeof length);
    if (static_cast<uint8_t>(event[at]) == kPidfdInfo) take(number_at(event, at + 4), hook, from);
    if (length < 4) return;
    at += length;
  }
}

void take_fanotify_events(const char* events, size_t bytes, Hook hook, const Registers& from) {
  constexpr uint32_t kHeadBytes = 24;
  while (bytes >= kHeadBytes) {
    uint32_t length;
    std::memcpy(&length, events, sizeof length);
    if (length < kHeadBytes || length > bytes) return;
    take_fanotify_event(events, length, hook, from);
    events += length;
    bytes -= length;
  }
}

/// userfaultfd(2): a child's descriptor comes with the event that it was forked.
void take_fault_events(const char* events, size_t bytes, Hook hook, const Registers& from) {
  constexpr size_t kMessageBytes = 32, kFdAt = 8;
  constexpr char kFork = 0x13;
  for (; bytes >= kMessageBytes; events += kMessageBytes, bytes -= kMessageBytes)
    if (events[0] == kFork) take(number_at(events, kFdAt), hook, from);
}

}  // namespace

long hook::ioctl_maker(unsigned long request) {
  constexpr long in_result = kInResult;
  switch (static_cast<uint32_t>(request)) {  // the kernel reads no more
#define MAKER(name, number, where) \
  case number:                     \
    return where;
#include "hook/ioctl_makers.inc"
#undef MAKER
    default:
      return kMakesNone;
  }
}

void hook::take_result_of_ioctl(int result, unsigned long request, const void* argument, Hook hook,
                                const Registers& from) {
  long where = ioctl_maker(request);
  if (where == kMakesNone) [[likely]]
    return;
  take(where == kInResult ? result : number_at(argument, static_cast<size_t>(where)), hook, from);
}

void hook::take_socket_option(int level, int name, const void* value, socklen_t bytes, Hook hook,
                              const Registers& from) {
  constexpr int kPeerPidfd = 77;  // SO_PEERPIDFD, Linux 6.5
  if (level == SOL_SOCKET && name == kPeerPidfd && bytes >= sizeof(int)) take(number_at(value, 0), hook, from);
}

void hook::take_events(int fd, const void* events, size_t bytes, Hook hook, const Registers& from) {
  uint16_t flags = track::fd_flags_known(fd);
  const auto* start = static_cast<const char*>(events);
  if (flags & ledger::kFdFanotify) take_fanotify_events(start, bytes, hook, from);
  if (flags & ledger::kFdUserfault) take_fault_events(start, bytes, hook, from);
}

// Threads block in these calls, and their stacks are then walked without a known frame pointer, so the hooks must not
// set one up. caller_registers() does. It is therefore called in separate functions, which a hook tail-calls when there
// may be something to record: their caller is the hook's caller.
namespace {

[[gnu::noinline]] int make_by_ioctl(int fd, unsigned long request, void* argument) {
  int result = g_real.ioctl(fd, request, argument);
  if (result >= 0) hook::take_result_of_ioctl(result, request, argument, Hook::ioctl, caller_registers());
  return result;
}

[[gnu::noinline]] ssize_t read_events(int fd, void* buffer, size_t bytes) {
  ssize_t result = g_real.read(fd, buffer, bytes);
  if (result > 0) hook::take_events(fd, buffer, static_cast<size_t>(result), Hook::read, caller_registers());
  return result;
}

[[gnu::noinline]] ssize_t read_events_checked(int fd, void* buffer, size_t bytes, size_t room) {
  ssize_t result = g_real.__read_chk(fd, buffer, bytes, room);
  if (result > 0) hook::take_events(fd, buffer, static_cast<size_t>(result), Hook::__read_chk, caller_registers());
  return result;
}

bool may_read_events() { return track::g_has_event_fds.load(std::memory_order_relaxed); }

}  // namespace

UNFREED_HOOK int ioctl(int fd, IoctlRequest given, ...) noexcept {
  // The kernel reads 32 bits. An int that is negative would otherwise become another number.
  auto request = sizeof given == sizeof(int) ? static_cast<unsigned>(given) : static_cast<unsigned long>(given);
  va_list arguments;
  va_start(arguments, given);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (hook::ioctl_maker(request) == hook::kMakesNone) [[likely]]
    return g_real.ioctl(fd, given, argument);
  return make_by_ioctl(fd, request, argument);
}

UNFREED_HOOK int getsockopt(int fd, int level, int name, void* value, socklen_t* bytes) noexcept {
  int result = g_real.getsockopt(fd, level, name, value, bytes);
  if (result == 0) hook::take_socket_option(level, name, value, *bytes, Hook::getsockopt, caller_registers());
  return result;
}

UNFREED_HOOK ssize_t read(int fd, void* buffer, size_t bytes) {
  return may_read_events() ? read_events(fd, buffer, bytes) : g_real.read(fd, buffer, bytes);
}
UNFREED_HOOK ssize_t __read(int fd, void* buffer, size_t bytes) {
  return may_read_events() ? read_events(fd, buffer, bytes) : g_real.__read(fd, buffer, bytes);
}
UNFREED_HOOK ssize_t __read_chk(int fd, void* buffer, size_t bytes, size_t room) {
  return may_read_events() ? read_events_checked(fd, buffer, bytes, room) : g_real.__read_chk(fd, buffer, bytes, room);
}
