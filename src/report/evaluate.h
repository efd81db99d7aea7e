// What the rules come to for one process.
// Internal to this folder. Allocation-free, async-signal-safe.
#pragma once

#include <cstdint>

#include "report/graded.h"
#include "report/rules.h"

namespace unfreed::report {

struct RuleOutcome {
  uint64_t value = 0;
  bool checked = false;  ///< false: the kind was not tracked, or what the rule asks about is not known
  bool broken = false;
  uint32_t site = 0;             ///< of a "site." rule: the one with the highest value; 0 none
  const char* reason = nullptr;  ///< why it could not be checked
};

/// After apply_suppressions().
RuleOutcome evaluate(const Rule& rule, const Graded& graded);

/// Descriptors (unattributed ones too) and threads of the process's own that are still held, after suppressions.
bool holds_something(const Graded& graded);

}  // namespace unfreed::report
