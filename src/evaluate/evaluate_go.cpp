// Which descriptors Go's garbage collector closed: such a close has the goroutine of finalizers or of cleanups at the
// outer end of its stack.
#include "evaluate/evaluation.h"
#include "evaluate/frames.h"
#include "settings/programs.h"

namespace unfreed::report {

namespace {

/// Of Go's runtime: what runs finalizers (runfinq up to Go 1.24, then runFinalizers) and cleanups (Go 1.25 and newer;
/// before, the goroutine of finalizers ran them).
constexpr std::string_view kCollectors = "runtime.runfinq,runtime.runFinalizers,runtime.runCleanups";

bool is_by_collector(const ReportInput& input, const Evaluation& evaluation, uint32_t site) {
  const ledger::Site* record = evaluation.view->site(site);
  bool found = false;
  if (record)
    visit_stack(*evaluation.view, input.resolver, record->node,
                {&found, [](void* context, const FrameView& frame) {
                   bool& is_found = *static_cast<bool*>(context);
                   is_found = is_found || (frame.resolved && is_named(kCollectors, frame.resolved->function));
                 }});
  return found;
}

}  // namespace

void count_closes_by_gc(const ReportInput& input, Evaluation& evaluation) {
  for (uint32_t index = 0; index < evaluation.view->closes_of_site_count(); ++index) {
    const ledger::CloseCount* closes = evaluation.view->closes_of_site(index);
    if (!closes || closes->opened_site >= evaluation.sites.size()) continue;
    EvaluatedSite& site = evaluation.sites[closes->opened_site];
    if (!site.valid || site.libc || site.kind != ledger::Kind::fd) continue;
    if (!is_by_collector(input, evaluation, closes->closed_site)) continue;
    uint64_t count = closes->count.load(std::memory_order_relaxed);
    site.closed_by_gc += count;
    evaluation.of(Subject::fd)[Counter::closed_by_gc] += count;
  }
}

}  // namespace unfreed::report
