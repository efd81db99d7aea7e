#include "track/report_signal.h"

#include <atomic>

#include "track/tracker.h"

extern "C" int __sigaction(int, const struct sigaction*, struct sigaction*) noexcept;

namespace unfreed::track {

namespace {
constinit std::atomic<int> g_signal{0};
constinit std::atomic<bool> g_is_substitute{false};
constinit std::atomic<SignalHandler> g_handler{nullptr};
/// Through libc's own function, because unwinders (ours included) recognise its signal trampoline; not through a
/// replacement in the program or a sanitizer.
bool install(int signal) {
  struct sigaction now {};
  if (__sigaction(signal, nullptr, &now) != 0 || now.sa_flags & SA_SIGINFO || now.sa_handler != SIG_DFL) return false;
  struct sigaction ours {};
  ours.sa_sigaction = g_handler.load(std::memory_order_relaxed);
  ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigfillset(&ours.sa_mask);
  return __sigaction(signal, &ours, nullptr) == 0;
}

/// Not the first ones, which programs use in order, nor the last ones, which JVMs and debuggers do.
void take_substitute() {
  if (g_tracker.writer && g_tracker.writer.header().flags.load() & ledger::kHeaderFlagSandboxed) return;
  constexpr int kFirst = 44, kLast = 58;
  for (int signal = kFirst; signal <= kLast; ++signal) {
    if (!install(signal)) continue;
    g_is_substitute.store(true, std::memory_order_relaxed);
    g_signal.store(signal, std::memory_order_relaxed);
    return;
  }
}

}  // namespace

bool is_report_handler(const void* handler) {
  return handler && handler == reinterpret_cast<const void*>(g_handler.load(std::memory_order_relaxed));
}

void take_report_signal(int signal, SignalHandler handler) {
  g_handler.store(handler, std::memory_order_relaxed);
  if (install(signal))
    g_signal.store(signal, std::memory_order_relaxed);
  else
    take_substitute();
  enter_report_signal();
}

bool is_substitute(int signal) {
  return g_is_substitute.load(std::memory_order_relaxed) && signal == g_signal.load(std::memory_order_relaxed);
}

void give_back_signal(int signal) {
  g_signal.store(0, std::memory_order_relaxed);
  enter_report_signal();
  struct sigaction none {};
  __sigaction(signal, &none, nullptr);
}

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
