#include "cli/ending_signals.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include <algorithm>

#include "base/syscall.h"

namespace unfreed::cli {

EndingSignals::EndingSignals(JobControl job_control) {
  sigset_t ending;
  sigemptyset(&ending);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ending, signal);
  if (job_control == JobControl::ends) {
    sigaddset(&ending, SIGTSTP);
    for (int stopping : {SIGTTIN, SIGTTOU}) signal(stopping, SIG_IGN);
  }
  sigset_t before;
  sigprocmask(SIG_BLOCK, &ending, &before);
  arrived_ = base::UniqueFd(signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK));
  // Without a descriptor nobody would notice them: they end the command at once then.
  if (!arrived_) sigprocmask(SIG_SETMASK, &before, nullptr);
}

bool EndingSignals::wait_until(uint64_t deadline_ns, int descriptor) const {
  for (;;) {
    uint64_t now = base::monotonic_ns();
    if (now >= deadline_ns) return true;
    uint64_t milliseconds = std::min<uint64_t>((deadline_ns - now + 999'999) / 1'000'000, 3'600'000);
    pollfd waited[] = {{descriptor, POLLIN, 0}, {arrived_.get(), POLLIN, 0}};
    if (poll(waited, 2, static_cast<int>(milliseconds)) > 0) return false;
  }
}

}  // namespace unfreed::cli
