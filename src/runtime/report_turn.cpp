#include "runtime/report_turn.h"

#include <algorithm>
#include <atomic>

#include "base/syscall.h"
#include "runtime/child_process.h"
#include "runtime/grading.h"
#include "runtime/runtime.h"
#include "track/own_child.h"

namespace unfreed::runtime {

namespace {
std::atomic<int> g_reporter;  ///< the thread that makes a report; 0: none does
}  // namespace

ReportTurn::ReportTurn(int patience_ms, LeftCopy left_copy) : held_(false) {
  constexpr uint64_t kMillisecond = 1'000'000;
  int own = base::current_tid();
  for (uint64_t waited = 0, most = static_cast<uint64_t>(patience_ms) * kMillisecond;;) {
    int other = 0;
    held_ = g_reporter.compare_exchange_strong(other, own, std::memory_order_acq_rel);
    int left_ms = std::max(patience_ms - static_cast<int>(waited / kMillisecond), 0);
    if (held_ && !collect_grading(left_ms, left_copy == LeftCopy::is_killed)) {
      g_reporter.store(0, std::memory_order_release);
      held_ = false;
      return;
    }
    if (held_ || other == own || waited >= most || !base::may_call_system()) return;
    waited += sleep_ns(kMillisecond);
  }
}

ReportTurn::~ReportTurn() {
  if (held_) g_reporter.store(0, std::memory_order_release);
}

void ReportTurn::take_over() {
  g_reporter.store(base::current_tid(), std::memory_order_release);
  held_ = false;
}

bool is_own_turn() { return g_reporter.load(std::memory_order_acquire) == base::current_tid(); }

void reset_reports_after_fork() {
  g_runtime.limit_reports = 0;
  g_reporter.store(0, std::memory_order_relaxed);
  track::reset_own_child_after_fork();
}

}  // namespace unfreed::runtime
