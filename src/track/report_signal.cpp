#include "track/report_signal.h"

#include <atomic>

#include "track/tracker.h"

namespace unfreed::track {

namespace {
constinit std::atomic<int> g_signal{0};
}  // namespace

void set_report_signal(int signal) {
  g_signal.store(signal, std::memory_order_relaxed);
  if (g_tracker.writer) g_tracker.writer.header().report_signal.store(signal, std::memory_order_relaxed);
}

void signal_taken(int signal) {
  if (!signal || g_signal.load(std::memory_order_relaxed) != signal) return;
  set_report_signal(0);
}

}  // namespace unfreed::track
