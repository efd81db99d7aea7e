// Rules applied to a report that has been written: the same answers that the run would have given.
#pragma once

#include "render/model.h"
#include "report/rules.h"

namespace unfreed::render {

RuleOutcome evaluate(const report::Rule& rule, const Report& report);

}  // namespace unfreed::render
