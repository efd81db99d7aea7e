// Compares two reports by call site.
#pragma once

#include <string>
#include <vector>

#include "render/grouping.h"
#include "render/places.h"
#include "render/text.h"

namespace unfreed::render {

struct Change {
  Place place;  ///< as in the newer report; as in the older one where it has gone
  uint64_t old_live = 0;
  uint64_t old_bytes = 0;
};

/// Of processes that were not tracked: descriptors that lead to the same.
struct TargetChange {
  std::string target;
  uint64_t before = 0;
  uint64_t now = 0;
};

struct ComparisonOptions {
  GroupBy by = GroupBy::site;  ///< what both reports have been put together by (render/grouping.h)
  bool by_bytes = false;       ///< bytes decide what grew, and how much; else the number of live ones
};

/// Call sites or groups, matched by kind and signature. Suppressed ones and those that do not count are left out.
struct Difference {
  ComparisonOptions options;
  std::vector<Change> appeared;
  std::vector<Change> grew;  ///< in number or, where the number is the same, in bytes; by bytes, the other way round
  std::vector<Change> shrank;
  std::vector<Change> gone;
  std::vector<TargetChange> targets;
  bool is_worse() const;
};

/// Each list starts with the largest change.
Difference compare(const report::Report& older, const report::Report& newer, const ComparisonOptions& options = {});

struct DifferenceOptions {
  size_t most_changes = 10;  ///< in each list
  uint64_t least = 0;        ///< smaller changes are not shown: of live ones, or of bytes if these are compared
  bool has_table = false;    ///< a line for each change, without stacks
};

/// Totals before and after, then the lists. Of one process, also the time between the reports, and rates.
std::string render_difference(const report::Report& older, const report::Report& newer, const Difference& difference,
                              const TextOptions& options, const DifferenceOptions& shown = {});

}  // namespace unfreed::render
