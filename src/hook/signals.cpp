// Handlers that the program installs itself: from then on the report signal may be its own. If it asks what a signal
// does, the handler of the runtime is not the answer: Python could not set it again, and gdb warns of it. (What sigset
// and the raw system call do is not noticed.)
#include <signal.h>

#include "hook/real.h"
#include "track/report_signal.h"

using namespace unfreed;
using hook::g_real;

namespace {

__sighandler_t noted(int signal, __sighandler_t before) {
  if (before != SIG_ERR) track::signal_taken(signal);
  return track::is_report_handler(reinterpret_cast<const void*>(before)) ? SIG_DFL : before;
}
int noted(int signal, const struct sigaction* action, struct sigaction* before, int result) {
  if (result != 0) return result;
  if (action) track::signal_taken(signal);
  if (before && track::is_report_handler(reinterpret_cast<const void*>(before->sa_sigaction))) *before = {};
  return result;
}

}  // namespace

UNFREED_HOOK int sigaction(int signal, const struct sigaction* action, struct sigaction* before) noexcept {
  return noted(signal, action, before, g_real.sigaction(signal, action, before));
}
UNFREED_HOOK __sighandler_t signal(int number, __sighandler_t handler) noexcept {
  return noted(number, g_real.signal(number, handler));
}
UNFREED_HOOK __sighandler_t bsd_signal(int number, __sighandler_t handler) noexcept {
  return noted(number, g_real.bsd_signal(number, handler));
}
UNFREED_HOOK __sighandler_t ssignal(int number, __sighandler_t handler) noexcept {
  return noted(number, g_real.ssignal(number, handler));
}
UNFREED_HOOK __sighandler_t sysv_signal(int number, __sighandler_t handler) noexcept {
  return noted(number, g_real.sysv_signal(number, handler));
}
UNFREED_HOOK __sighandler_t __sysv_signal(int number, __sighandler_t handler) noexcept {
  return noted(number, g_real.__sysv_signal(number, handler));
}
