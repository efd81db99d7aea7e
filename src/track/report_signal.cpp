#include "track/report_signal.h"

#include <atomic>

#include "track/tracker.h"

namespace unfreed::track {

namespace {
constinit std::atomic<int> g_signal{0};
constinit std::atomic<SignalHandler> g_handler{nullptr};
}  // namespace

bool is_report_handler(const void* handler) {
  return handler && handler == reinterpret_cast<const void*>(g_handler.load(std::memory_order_relaxed));
}

void set_report_signal(int signal, SignalHandler handler) {
  g_handler.store(handler, std::memory_order_relaxed);
  g_signal.store(signal, std::memory_order_relaxed);
  enter_report_signal();
}

void enter_report_signal() {
  if (g_tracker.writer)
    g_tracker.writer.header().report_signal.store(g_signal.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

void signal_taken(int signal) {
  if (!signal || g_signal.load(std::memory_order_relaxed) != signal || in_vfork_child()) return;
  g_signal.store(0, std::memory_order_relaxed);
  // A fork child that has no ledger yet has its parent's.
  if (g_fork_page.alive.load(std::memory_order_relaxed)) enter_report_signal();
}

}  // namespace unfreed::track
