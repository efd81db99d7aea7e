// The outcome of a rule, in words:
//
//     FAIL fd>0: 3 descriptors held
//     FAIL site.fd>=20: 25 descriptors held at one call site
//     pass thread>0
//     pass heap.bytes>1M: 917 bytes held
//     not checked child>0: this kind was not tracked
//
// Allocation-free, async-signal-safe.
#pragma once

#include "base/text.h"
#include "report/report.h"
#include "settings/rules.h"

namespace unfreed::report {

void add_verdict(base::TextBuilder& line, const RuleOutcome& outcome);

/// "3 descriptors held"
void add_count(base::TextBuilder& line, const Rule& rule, uint64_t value);

}  // namespace unfreed::report
