#include "base/lock.h"

#include <linux/futex.h>
#include <signal.h>

#include "base/syscall.h"

namespace unfreed::base {

void Lock::lock() {
  uint32_t expected = 0;
  if (word_.compare_exchange_strong(expected, 1, std::memory_order_acquire)) return;
  while (word_.exchange(2, std::memory_order_acquire) != 0)
    raw_syscall(SYS_futex, reinterpret_cast<long>(&word_), FUTEX_WAIT_PRIVATE, 2, 0);
}

void Lock::unlock() {
  if (word_.exchange(0, std::memory_order_release) == 2)
    raw_syscall(SYS_futex, reinterpret_cast<long>(&word_), FUTEX_WAKE_PRIVATE, 1);
}

namespace {
constexpr uint64_t kAllSignals = ~uint64_t{0};
/// Blocks inside blocks are free. It changes only while signals are blocked, so no handler sees it between two values.
thread_local constinit uint32_t t_depth = 0;
}  // namespace

SignalBlock::SignalBlock() : saved_(0) {
  if (t_depth == 0)
    raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&kAllSignals), reinterpret_cast<long>(&saved_),
                8);
  ++t_depth;
}
SignalBlock::~SignalBlock() {
  if (--t_depth == 0) raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&saved_), 0, 8);
}

}  // namespace unfreed::base
