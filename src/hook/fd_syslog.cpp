// syslog: libc connects to the log itself and does not return the descriptor. It is searched for after each call that
// may have opened it, and recognised by its peer address; it counts as libc's, not the caller's.
#include <sys/un.h>

#include <atomic>
#include <cstdarg>
#include <string_view>

#include "base/syscall.h"
#include "hook/real.h"
#include "track/fd.h"
#include "unwind/owning_call.h"

using namespace unfreed;
using hook::g_real;
using hook::Hook;
using hook::hook_number;
using ledger::FdOrigin;
using unwind::caller_registers;
using unwind::Registers;

namespace {

std::atomic<int> g_log_fd{-1};

bool leads_to_log(int fd) {
  sockaddr_un peer{};
  socklen_t bytes = sizeof peer;
  long result = base::raw_syscall(SYS_getpeername, fd, reinterpret_cast<long>(&peer), reinterpret_cast<long>(&bytes));
  return result == 0 && peer.sun_family == AF_UNIX && std::string_view(peer.sun_path) == "/dev/log";
}

/// The kernel hands out the lowest free number, so the search ends where numbers are free; other threads may have freed
/// a few in the meantime.
void look_for_log(Hook hook, const Registers& from) {
  int known = g_log_fd.load(std::memory_order_relaxed);
  if (!track::tracks(ledger::Kind::fd) || (known >= 0 && track::fd_origin_known(known) == FdOrigin::libc)) return;
  constexpr int kMostFree = 16;
  for (int fd = 0, free = 0; free < kMostFree; ++fd) {
    if (track::fd_origin_known(fd) != FdOrigin::none) continue;
    if (!track::fd_is_open(fd)) {
      ++free;
    } else if (leads_to_log(fd)) {
      track::fd_arrived(fd, FdOrigin::libc, hook_number(hook), from);
      return g_log_fd.store(fd, std::memory_order_relaxed);
    }
  }
}

template <class Call>
void logging(Hook hook, const Registers& from, Call call) {
  unwind::owning(call);  // what libc formats the line in
  look_for_log(hook, from);
}

}  // namespace

UNFREED_HOOK void openlog(const char* name, int options, int facility) {
  logging(Hook::openlog, caller_registers(), [&] { g_real.openlog(name, options, facility); });
}
UNFREED_HOOK void closelog() {
  Registers from = caller_registers();
  int fd = g_log_fd.exchange(-1, std::memory_order_relaxed);
  track::FdRelease release;
  if (track::fd_origin_known(fd) == FdOrigin::libc)
    release = track::fd_release_begins(fd, {hook_number(Hook::closelog), from});
  g_real.closelog();
  track::fd_release_ends(fd, release, true);
}

UNFREED_HOOK void syslog(int priority, const char* format, ...) {
  va_list values;
  va_start(values, format);
  logging(Hook::syslog, caller_registers(), [&] { g_real.vsyslog(priority, format, values); });
  va_end(values);
}
UNFREED_HOOK void vsyslog(int priority, const char* format, va_list values) {
  logging(Hook::vsyslog, caller_registers(), [&] { g_real.vsyslog(priority, format, values); });
}
UNFREED_HOOK void __syslog_chk(int priority, int flag, const char* format, ...) {
  va_list values;
  va_start(values, format);
  logging(Hook::__syslog_chk, caller_registers(), [&] { g_real.__vsyslog_chk(priority, flag, format, values); });
  va_end(values);
}
UNFREED_HOOK void __vsyslog_chk(int priority, int flag, const char* format, va_list values) {
  logging(Hook::__vsyslog_chk, caller_registers(), [&] { g_real.__vsyslog_chk(priority, flag, format, values); });
}
