// Call sites put together by what they have in common: `unfreed report --by`. The report's lists then hold a call site
// for each group, whose stack is one frame with the group's name, so that every format shows groups as it shows sites.
#pragma once

#include <span>
#include <string_view>

#include "base/arena.h"
#include "report/report.h"

namespace unfreed::render {

enum class GroupBy : uint8_t { site, line, function, file, module, thread, target, test };
struct Grouping {
  std::string_view name;
  GroupBy by;
};
std::span<const Grouping> groupings();

/// What suppressions cover is left out. Of GroupBy::site nothing changes.
void group(report::Report& report, base::Arena& arena, GroupBy by);

}  // namespace unfreed::render
