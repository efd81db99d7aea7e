#include "track/report_signal.h"

#include <atomic>

#include "track/tracker.h"

extern "C" int __sigaction(int, const struct sigaction*, struct sigaction*) noexcept;

namespace unfreed::track {

namespace {
constinit std::atomic<int> g_signal{0};
constinit std::atomic<int> g_requested{0};
constinit std::atomic<SignalHandler> g_handler{nullptr};
/// Through libc's own function, because unwinders (ours included) recognise its signal trampoline; not through a
/// replacement in the program or a sanitizer. False: the program uses the signal.
bool install(int signal) {
  struct sigaction before {};
  if (__sigaction(signal, nullptr, &before) != 0 || before.sa_flags & SA_SIGINFO || before.sa_handler != SIG_DFL)
    return false;
  struct sigaction ours {};
  ours.sa_sigaction = g_handler.load(std::memory_order_relaxed);
  ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigfillset(&ours.sa_mask);
  // Another thread that sets its own handler later finds whose the signal is (signal_taken()).
  g_signal.store(signal, std::memory_order_relaxed);
  bool is_installed = __sigaction(signal, &ours, &before) == 0;
  bool is_anothers = is_installed && (before.sa_flags & SA_SIGINFO || before.sa_handler != SIG_DFL);
  if (is_anothers) __sigaction(signal, &before, nullptr);
  if (is_installed && !is_anothers) return true;
  g_signal.store(0, std::memory_order_relaxed);
  return false;
}

/// Not the first ones, which programs use in order, nor the last ones, which JVMs and debuggers do.
void take_substitute() {
  if (g_tracker.writer && g_tracker.writer.header().flags.load() & ledger::kHeaderFlagSandboxed) return;
  constexpr int kFirst = 44, kLast = 58;
  for (int signal = kFirst; signal <= kLast; ++signal)
    if (install(signal)) return;
}

}  // namespace

bool is_report_handler(const void* handler) {
  return handler && handler == reinterpret_cast<const void*>(g_handler.load(std::memory_order_relaxed));
}

void take_report_signal(int signal, SignalHandler handler) {
  g_handler.store(handler, std::memory_order_relaxed);
  g_requested.store(signal, std::memory_order_relaxed);
  if (!install(signal)) take_substitute();
  enter_report_signal();
}

void give_report_signal_back() {
  int signal = g_signal.exchange(0, std::memory_order_relaxed);
  struct sigaction now {};
  if (!signal || __sigaction(signal, nullptr, &now) != 0) return;
  bool is_ours = now.sa_flags & SA_SIGINFO && is_report_handler(reinterpret_cast<const void*>(now.sa_sigaction));
  struct sigaction none {};
  if (is_ours) __sigaction(signal, &none, nullptr);
  if (g_fork_page.alive.load(std::memory_order_relaxed)) enter_report_signal();
}

bool is_substitute(int signal) { return signal != g_requested.load(std::memory_order_relaxed); }

void enter_report_signal() {
  if (g_tracker.writer)
    g_tracker.writer.header().report_signal.store(g_signal.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

void signal_taken(int signal) {
  if (!signal || g_signal.load(std::memory_order_relaxed) != signal || in_vfork_child()) return;
  g_signal.store(0, std::memory_order_relaxed);
  take_substitute();
  // A fork child that has no ledger yet has its parent's.
  if (g_fork_page.alive.load(std::memory_order_relaxed)) enter_report_signal();
}

}  // namespace unfreed::track
