#include "runtime/unreported.h"

#include "base/arena.h"
#include "base/bounded_call.h"
#include "evaluate/evaluate.h"
#include "kernel/kernel_facts.h"
#include "kernel/kernel_tasks.h"
#include "runtime/own_settings.h"
#include "runtime/report_now.h"
#include "runtime/runtime.h"
#include "track/tracker.h"

namespace unfreed::runtime {

using track::g_tracker;

namespace {

/// What the launcher looks at as well (TreeReport::add).
bool holds_nothing() {
  ledger::View view = own_view();
  report::ReportInput input;
  input.view = &view;
  input.settings = &g_settings;
  input.totals_only = true;
  base::Arena arena;
  report::Report report;
  report::evaluate(input, arena, report);
  return !arena.short_of_memory() && !report::holds_something(report);
}

}  // namespace

bool will_be_unreported(bool& has_lists) {
  // A suppression file can only take away from what is held. Of a traced process, the tracer's ledger says what is.
  bool may_be = g_runtime.launcher_pid && g_runtime.is_descendant && !g_runtime.wants_all_reports &&
                !g_settings.has_rules() && g_runtime.ledger_path[0] && !g_runtime.place.is_library_part &&
                is_quickly_evaluated() && launcher_is_there();
  constexpr long kMostMicroseconds = 1'000'000;
  base::BoundedCall call;
  if (!may_be || !call.reserve(kEvaluationStackBytes)) return false;
  has_lists = true;
  if (!report::take_kernel_facts(g_tracker.writer, 0)) return false;
  report::take_kernel_tasks(g_tracker.writer, 0);
  call.stop_at_faults();
  bool is_so = false;
  bool has_returned =
      call.run([](void* context) { *static_cast<bool*>(context) = holds_nothing(); }, &is_so, kMostMicroseconds);
  return has_returned && is_so;
}

}  // namespace unfreed::runtime
