#include "cli/signal_relay.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/keep_errno.h"
#include "base/syscall.h"
#include "cli/shortened_maps.h"

namespace unfreed::cli {

namespace {

SignalRelay* g_relay;

/// What ended CMD may have been sent to its whole process group; the launcher's share of it, which can come a moment
/// later, does not ask the launcher to leave the report unfinished.
constexpr uint64_t kSameSignalNs = 100'000'000;

template <class Function>
void for_each_signal(Function function) {
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    bool is_libc = signal > SIGSYS && signal < SIGRTMIN;
    if (!is_libc && signal != SIGKILL && signal != SIGSTOP) function(signal);
  }
}

bool ends_launcher(int signal) {
  return signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGQUIT;
}

/// A fault of the launcher's own.
bool is_fault(int signal, const siginfo_t& info) {
  bool can_be = signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE || signal == SIGTRAP ||
                signal == SIGSYS;
  return can_be && info.si_code > 0;
}

bool is_from_process(const siginfo_t& info) {
  return info.si_code == SI_USER || info.si_code == SI_QUEUE || info.si_code == SI_TKILL;
}

void set_disposition(int signal, void (*disposition)(int)) {
  struct sigaction action {};
  action.sa_handler = disposition;
  sigaction(signal, &action, nullptr);
}

/// A shell with job control has put the launcher, alone or with others, into a process group of its own, and waits for
/// it to stop.
bool is_job() {
  pid_t parent = getppid();
  return parent > 0 && getsid(parent) == getsid(0) && getpgid(parent) != getpgrp();
}

}  // namespace

SignalRelay::SignalRelay() {
  g_relay = this;
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &inherited_mask_);
  sigemptyset(&inherited_ignored_);
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&action.sa_mask);
  for_each_signal([&](int signal) {
    struct sigaction before {};
    sigaction(signal, &action, &before);
    if (before.sa_handler == SIG_IGN) sigaddset(&inherited_ignored_, signal);
  });
}

SignalRelay::~SignalRelay() {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
}

void SignalRelay::restore_inherited() const {
  for_each_signal(
      [&](int signal) { set_disposition(signal, sigismember(&inherited_ignored_, signal) == 1 ? SIG_IGN : SIG_DFL); });
  sigprocmask(SIG_SETMASK, &inherited_mask_, nullptr);
}

void SignalRelay::pass_on_to(pid_t program) {
  program_.store(program);
  // A line written to the terminal from the background must neither stop CMD, which is in the same group, nor wait.
  sigset_t output;
  sigemptyset(&output);
  sigaddset(&output, SIGTTOU);
  sigprocmask(SIG_SETMASK, &output, nullptr);
}

void SignalRelay::on_signal(int signal, siginfo_t* info, void*) {
  base::KeepErrno keep;
  SignalRelay& relay = *g_relay;
  if (is_fault(signal, *info)) {
    if (!fill_shortened_map(*info)) set_disposition(signal, SIG_DFL);  // and it happens again
    return;
  }
  bool is_about_child = signal == SIGCHLD && !is_from_process(*info);
  relay.note_end();
  bool has_ended = relay.ended_ns_.load() != 0;
  if (has_ended && signal == SIGALRM && relay.asked_by_.load() && !is_from_process(*info))
    return relay.early_end_.load()(relay.asked_by_.load(), relay.shell_status_.load());
  if (is_about_child || !is_for_program(signal, *info, relay.program_.load())) {
    // Once CMD has ended, the terminal's signals are meant for the launcher.
    if (!has_ended || is_about_child || info->si_code != SI_KERNEL) return;
  }
  if (!has_ended) return relay.pass_on(signal, *info);
  if (ends_launcher(signal) && base::monotonic_ns() - relay.ended_ns_.load() > kSameSignalNs) relay.end_soon(signal);
}

bool SignalRelay::is_for_program(int signal, const siginfo_t& info, pid_t program) {
  // The launcher's own (SIGPIPE), or CMD's to its whole group or its parent.
  if (is_from_process(info)) return info.si_pid != getpid() && info.si_pid != program;
  if (info.si_code != SI_KERNEL) return true;
  switch (signal) {
    case SIGINT:
    case SIGQUIT:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
    case SIGWINCH:
    case SIGCONT:
      return false;  // the terminal sends them to the group
    case SIGHUP:
      return getsid(0) == getpid();  // a terminal that hangs up tells the session's leader only
    case SIGXCPU:
      return false;  // the launcher's processor time is not CMD's
    default:
      return true;  // SIGALRM of a timer that was set before the launcher was exec'ed, say
  }
}

void SignalRelay::pass_on(int signal, const siginfo_t& info) const {
  pid_t program = program_.load();
  // With its value. (The sender of a plain kill() cannot be passed on: the kernel does not let it be set.)
  siginfo_t copy = info;
  if (info.si_code == SI_QUEUE && syscall(SYS_rt_sigqueueinfo, program, signal, &copy) == 0) return;
  kill(program, signal);
}

/// Looks without collecting: CMD keeps its number until collect().
void SignalRelay::note_end() {
  if (ended_ns_.load()) return;
  siginfo_t info{};
  int result = waitid(P_PID, static_cast<id_t>(program_.load()), &info, WEXITED | WNOHANG | WNOWAIT);
  if (result != 0 || info.si_pid == 0) return;
  shell_status_.store(info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status);
  ended_ns_.store(base::monotonic_ns());
}

void SignalRelay::end_soon(int signal) {
  int nobody = 0;
  if (!early_end_.load() || !asked_by_.compare_exchange_strong(nobody, signal)) return;
  itimerval patience{};
  patience.it_value.tv_usec = kPatienceMilliseconds * 1000;
  setitimer(ITIMER_REAL, &patience, nullptr);
}

/// Handles changes of CMD's state, with signals blocked.
bool SignalRelay::has_program_ended() {
  auto program = static_cast<id_t>(program_.load());
  for (;;) {
    note_end();
    if (ended_ns_.load()) return true;
    siginfo_t info{};
    if (waitid(P_PID, program, &info, WSTOPPED | WNOHANG) != 0 || info.si_pid == 0) return false;
    stop_like_program(info.si_status);
  }
}

int SignalRelay::collect() {
  int status = 0;
  while (waitpid(program_.load(), &status, 0) < 0 && errno == EINTR) {
  }
  // From here on the terminal's stop signal is the launcher's.
  if (sigismember(&inherited_ignored_, SIGTSTP) == 0) set_disposition(SIGTSTP, SIG_DFL);
  return status;
}

void SignalRelay::stop_like_program(int signal) {
  siginfo_t info{};
  bool goes_on = waitid(P_PID, static_cast<id_t>(program_.load()), &info, WCONTINUED | WNOHANG) == 0 && info.si_pid;
  if (goes_on || !is_job()) return;
  struct sigaction handler {};
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  if (signal != SIGSTOP) {
    sigaction(signal, nullptr, &handler);
    set_disposition(signal, SIG_DFL);
  }
  raise(signal);
  sigset_t before;
  sigprocmask(SIG_UNBLOCK, &one, &before);  // stopped here until SIGCONT
  sigprocmask(SIG_SETMASK, &before, nullptr);
  if (signal != SIGSTOP) sigaction(signal, &handler, nullptr);
}

SignalRelay::News SignalRelay::wait(int descriptor, int milliseconds) {
  uint64_t until = base::monotonic_ns() + static_cast<uint64_t>(milliseconds < 0 ? 0 : milliseconds) * 1'000'000;
  sigset_t none;
  sigset_t all;
  sigset_t before;
  sigemptyset(&none);
  sigfillset(&all);
  // Signals are unblocked in ppoll() only: one that arrives between the check and the wait ends the wait.
  sigprocmask(SIG_SETMASK, &all, &before);
  News news = News::nothing;
  for (;;) {
    if (has_program_ended()) {
      news = News::ended;
      break;
    }
    uint64_t now = base::monotonic_ns();
    if (milliseconds >= 0 && now >= until) break;
    uint64_t left = milliseconds >= 0 ? until - now : 0;
    timespec time{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
    pollfd input{descriptor, POLLIN, 0};
    if (ppoll(&input, 1, milliseconds >= 0 ? &time : nullptr, &none) > 0) {
      news = has_program_ended() ? News::ended : News::readable;
      break;
    }
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return news;
}

}  // namespace unfreed::cli
