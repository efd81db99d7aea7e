#include "trace/attachment.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <utility>

namespace unfreed::trace {

Attachment::Attachment(std::unique_ptr<AttachedLoop> loop, int pid)
    : loop_(std::move(loop)), has_ended_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  struct sigaction action {};
  action.sa_handler = [](int) {};  // ends the wait for a stop
  sigaction(SIGALRM, &action, nullptr);
  thread_ = std::thread([this, pid] { live(pid); });
  attached_ = answer_.get_future().get();
}

/// Does nothing between the last stop and its end: a thread that wakes up meanwhile is not looked after.
void Attachment::live(int pid) {
  Attached attached = loop_->attach(pid);
  answer_.set_value(attached);
  if (!attached.error) loop_->run_attached(is_asked_, has_ended_.get());
}

void Attachment::end() {
  if (!thread_.joinable()) return;
  is_asked_ = true;
  constexpr int kOftenMilliseconds = 5;
  pollfd ended{has_ended_.get(), POLLIN, 0};
  // It may come just before the tracer waits for a stop.
  while (!attached_.error && poll(&ended, 1, 0) == 0) {
    pthread_kill(thread_.native_handle(), SIGALRM);
    poll(&ended, 1, kOftenMilliseconds);
  }
  thread_.join();
}

}  // namespace unfreed::trace
