#include "base/bounded_write.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/syscall.h"

namespace unfreed::base {

namespace {

constexpr long kSetBytes = 8;  // the kernel's signal set

uint64_t pending() {
  uint64_t signals = 0;
  raw_syscall(SYS_rt_sigpending, reinterpret_cast<long>(&signals), kSetBytes);
  return signals;
}

/// One piece, without waiting where that can be had; −EAGAIN: it would have to wait. O_NONBLOCK is no way, as it is the
/// open file's, which others share.
long write_now(long fd, mode_t type, std::string_view text) {
  auto address = reinterpret_cast<long>(text.data());
  auto size = static_cast<long>(text.size());
  if (S_ISREG(type)) return raw_syscall(SYS_write, fd, address, size);
  if (S_ISSOCK(type)) return raw_syscall(SYS_sendto, fd, address, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (S_ISFIFO(type)) {
    constexpr long kAtItsEnd = -1, kNoWait = 8;  // RWF_NOWAIT; for pipes since Linux 6.4
    iovec piece{const_cast<char*>(text.data()), text.size()};
    long written = raw_syscall(SYS_pwritev2, fd, reinterpret_cast<long>(&piece), 1, kAtItsEnd, kAtItsEnd, kNoWait);
    if (written != -EOPNOTSUPP && written != -ENOSYS && written != -EINVAL) return written;
  }
  pollfd room{static_cast<int>(fd), POLLOUT, 0};
  timespec now{};
  if (raw_syscall(SYS_ppoll, reinterpret_cast<long>(&room), 1, reinterpret_cast<long>(&now), 0, kSetBytes) == 0)
    return -EAGAIN;
  // What a pipe has room for at least when it has room.
  constexpr long kMostAtOnce = 4096;
  return raw_syscall(SYS_write, fd, address, size < kMostAtOnce ? size : kMostAtOnce);
}

/// False: the time was over first. (A descriptor that takes nothing and says that it would is asked again, not at
/// once.)
bool wait_for_room(long fd, uint64_t until_ns) {
  uint64_t now = monotonic_ns();
  if (now >= until_ns) return false;
  uint64_t left = until_ns - now;
  timespec most{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
  pollfd room{static_cast<int>(fd), POLLOUT, 0};
  if (raw_syscall(SYS_ppoll, reinterpret_cast<long>(&room), 1, reinterpret_cast<long>(&most), 0, kSetBytes) == 0)
    return false;
  timespec moment{0, 100'000};
  raw_syscall(SYS_nanosleep, reinterpret_cast<long>(&moment), 0);
  return true;
}

FileProblem write_patiently(long fd, std::string_view text) {
  while (!text.empty()) {
    long written = raw_syscall(SYS_write, fd, reinterpret_cast<long>(text.data()), static_cast<long>(text.size()));
    if (written == -EAGAIN) {
      wait_for_room(fd, monotonic_ns() + 1'000'000'000);
    } else if (is_error(written)) {
      if (written != -EINTR) return failed(written);
    } else {
      text.remove_prefix(static_cast<size_t>(written));
    }
  }
  return {};
}

}  // namespace

HeldWriteSignals::HeldWriteSignals(uint64_t signals) : signals_(signals), pending_before_(pending()) {
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, reinterpret_cast<long>(&signals_), reinterpret_cast<long>(&mask_before_),
              kSetBytes);
}

HeldWriteSignals::~HeldWriteSignals() {
  while (uint64_t raised = pending() & signals_ & ~pending_before_) {
    timespec now{};
    if (is_error(raw_syscall(SYS_rt_sigtimedwait, reinterpret_cast<long>(&raised), 0, reinterpret_cast<long>(&now),
                             kSetBytes)))
      break;
  }
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&mask_before_), 0, kSetBytes);
}

FileProblem write_bounded(long fd, std::string_view text, int patience_ms) {
  if (patience_ms == kForever) return write_patiently(fd, text);
  struct stat status {};
  long result = raw_syscall(SYS_fstat, fd, reinterpret_cast<long>(&status));
  if (is_error(result)) return failed(result);
  uint64_t patience_ns = static_cast<uint64_t>(patience_ms) * 1'000'000;
  uint64_t until = monotonic_ns() + patience_ns;
  while (!text.empty()) {
    long written = write_now(fd, status.st_mode, text);
    if (written == -EINTR) continue;
    if (written == -EAGAIN) {
      if (!wait_for_room(fd, until)) return {"no process reads it"};
      continue;
    }
    if (is_error(written)) return failed(written);
    text.remove_prefix(static_cast<size_t>(written));
    until = monotonic_ns() + patience_ns;
  }
  return {};
}

}  // namespace unfreed::base
