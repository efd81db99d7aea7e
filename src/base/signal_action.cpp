#include "base/signal_action.h"

#include "arch/signal_return.h"
#include "base/syscall.h"

namespace unfreed::base {

namespace {
constexpr long kMaskBytes = 8;
}  // namespace

bool set_signal_action(int signal, SignalAction action, SignalAction* before) {
  // What came from here has one already.
  if (action.handler && !action.restorer && arch::kHasSignalReturn) {
    action.restorer = arch::kSignalReturn;
    action.flags |= arch::kHasSignalReturn;
  }
  return raw_syscall(SYS_rt_sigaction, signal, reinterpret_cast<long>(&action), reinterpret_cast<long>(before),
                     kMaskBytes) == 0;
}

bool get_signal_action(int signal, SignalAction& out) {
  return raw_syscall(SYS_rt_sigaction, signal, 0, reinterpret_cast<long>(&out), kMaskBytes) == 0;
}

}  // namespace unfreed::base
