#include "runtime/messages.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <atomic>

#include "base/lock.h"
#include "base/printable.h"
#include "base/syscall.h"
#include "base/text.h"
#include "runtime/runtime.h"

namespace unfreed::runtime {

using base::is_error;
using base::raw_syscall;

namespace {

constexpr long kStderr = 2;
/// A pipe takes as much as that in one piece (POSIX: at least 512, Linux: 4096).
constexpr size_t kMostBytes = 1200;

std::atomic<int> g_patience_ms;

/// While it exists, the signals that a failing write raises in its thread have no effect.
class WriteSignals {
 public:
  WriteSignals() : pending_before_(pending()) {}
  ~WriteSignals() {
    for (uint64_t left = pending() & kRaised & ~pending_before_; left; left = pending() & kRaised & ~pending_before_) {
      timespec now{};
      if (is_error(raw_syscall(SYS_rt_sigtimedwait, reinterpret_cast<long>(&left), 0, reinterpret_cast<long>(&now), 8)))
        return;
    }
  }
  WriteSignals(const WriteSignals&) = delete;
  WriteSignals& operator=(const WriteSignals&) = delete;

 private:
  static constexpr uint64_t kRaised = uint64_t{1} << (SIGPIPE - 1) | uint64_t{1} << (SIGXFSZ - 1);

  static uint64_t pending() {
    uint64_t signals = 0;
    raw_syscall(SYS_rt_sigpending, reinterpret_cast<long>(&signals), 8);
    return signals;
  }

  base::SignalBlock block_;
  uint64_t pending_before_;
};

/// Waits until stderr takes something: not at all, or what is left of the patience.
bool wait_for_room() {
  int patience = g_patience_ms.load(std::memory_order_relaxed);
  pollfd room{kStderr, POLLOUT, 0};
  timespec most{patience / 1000, patience % 1000 * 1'000'000L};
  uint64_t before = base::monotonic_ns();
  long ready = raw_syscall(SYS_ppoll, reinterpret_cast<long>(&room), 1, reinterpret_cast<long>(&most), 0, 8);
  auto waited = static_cast<int>((base::monotonic_ns() - before) / 1'000'000);
  g_patience_ms.store(waited < patience ? patience - waited : 0, std::memory_order_relaxed);
  return ready == 1;
}

/// −EAGAIN: it would have waited. O_NONBLOCK is no way, as it would be the open file's, which others share.
long try_to_write(mode_t type, std::string_view text) {
  auto address = reinterpret_cast<long>(text.data());
  auto size = static_cast<long>(text.size());
  if (S_ISSOCK(type)) return raw_syscall(SYS_sendto, kStderr, address, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (S_ISFIFO(type)) {
    constexpr long kAtItsEnd = -1, kWithoutWaiting = 8;  // RWF_NOWAIT; pipes know it since Linux 6.4
    iovec piece{const_cast<char*>(text.data()), text.size()};
    long written =
        raw_syscall(SYS_pwritev2, kStderr, reinterpret_cast<long>(&piece), 1, kAtItsEnd, kAtItsEnd, kWithoutWaiting);
    if (written != -EOPNOTSUPP && written != -ENOSYS && written != -EINVAL) return written;
  }
  pollfd room{kStderr, POLLOUT, 0};
  timespec now{};
  if (raw_syscall(SYS_ppoll, reinterpret_cast<long>(&room), 1, reinterpret_cast<long>(&now), 0, 8) != 1) return -EAGAIN;
  return raw_syscall(SYS_write, kStderr, address, size);
}

bool read_stderr(struct stat& out) { return raw_syscall(SYS_fstat, kStderr, reinterpret_cast<long>(&out)) == 0; }

bool is_as_remembered(const struct stat& now) {
  return now.st_dev == g_runtime.stderr_device && now.st_ino == g_runtime.stderr_inode;
}

}  // namespace

void remember_stderr() {
  struct stat now {};
  if (!read_stderr(now)) return;
  g_runtime.stderr_device = now.st_dev;
  g_runtime.stderr_inode = now.st_ino;
}

bool is_stderr_unchanged() {
  struct stat now {};
  return read_stderr(now) && is_as_remembered(now);
}

void say(std::string_view line, Line kind) {
  struct stat now {};
  if (kind == Line::news && g_runtime.is_descendant) return;
  if (!read_stderr(now) || !is_as_remembered(now)) return;
  base::FixedText<kMostBytes + 2> text;
  base::add_printable(text, line, kMostBytes);
  text.add('\n');
  WriteSignals signals;
  // The room that poll() reported may be used up by now.
  constexpr int kMostTries = 100;
  for (int tries = 0; try_to_write(now.st_mode, text.text()) == -EAGAIN && tries < kMostTries; ++tries)
    if (!wait_for_room()) return;
}

void let_lines_wait(int milliseconds) { g_patience_ms.store(milliseconds, std::memory_order_relaxed); }

}  // namespace unfreed::runtime
