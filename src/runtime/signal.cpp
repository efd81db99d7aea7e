// The report signal: taken only where the program has left it at its default, and never given away again.
#include <errno.h>
#include <signal.h>

#include <cstring>

#include "base/keep_errno.h"
#include "base/syscall.h"
#include "runtime/runtime.h"

namespace unfreed::runtime {

namespace {
void on_signal(int, siginfo_t*, void*) {
  base::KeepErrno keep;
  report_now(report::Trigger::signal, nullptr, 0);
}
}  // namespace

void take_report_signal(int signal) {
  struct sigaction now {};
  if (sigaction(signal, nullptr, &now) != 0 || now.sa_flags & SA_SIGINFO || now.sa_handler != SIG_DFL) return;
  struct sigaction ours {};
  ours.sa_sigaction = on_signal;
  ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigfillset(&ours.sa_mask);
  sigaction(signal, &ours, nullptr);
}

}  // namespace unfreed::runtime
