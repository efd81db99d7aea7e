// The report of a ledger that a test has put together, without JSON.
#pragma once

#include "base/arena.h"
#include "evaluate/evaluate.h"
#include "support/ledger_builder.h"

namespace unfreed::test {

class Evaluated {
 public:
  explicit Evaluated(LedgerBuilder& builder, report::ReportInput input = {}) : view_(builder.view()) {
    input.view = &view_;
    if (!input.now_monotonic_ns) input.now_monotonic_ns = 1'000'001'000;
    report::evaluate(input, arena_, report_);
  }
  const report::Report* operator->() const { return &report_; }
  const report::Report& operator*() const { return report_; }

 private:
  ledger::View view_;
  base::Arena arena_;
  report::Report report_;
};

/// Functions of a module are named by `names`, "OFFSET" → name; others have none.
struct NamedOffset {
  uint64_t offset;
  std::string_view name;
};
inline report::FrameResolver naming_resolver(std::span<const NamedOffset>& names) {
  return {&names, [](void* context, const ledger::View&, const ledger::Node& node, void* to,
                     void (*emit)(void*, const report::ResolvedFrame&)) {
            for (const NamedOffset& one : *static_cast<std::span<const NamedOffset>*>(context)) {
              if (one.offset != node.offset) continue;
              report::ResolvedFrame frame;
              frame.function = frame.linkage_name = frame.plain_name = frame.symbol = one.name;
              emit(to, frame);
            }
          }};
}

}  // namespace unfreed::test
