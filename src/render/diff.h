// Compares two reports by call site.
#pragma once

#include <string>
#include <vector>

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

/// Call sites matched by kind and signature. Suppressed ones and those that do not count are left out.
struct Difference {
  std::vector<Change> appeared;
  std::vector<Change> grew;  ///< in number or, where the number is the same, in bytes
  std::vector<Change> shrank;
  std::vector<Change> gone;
  std::vector<TargetChange> targets;
  bool is_worse() const;
};

/// Each list starts with the largest change.
Difference compare(const report::Report& older, const report::Report& newer);

struct DifferenceOptions {
  size_t most_changes = 10;  ///< in each list
  uint64_t least_live = 0;   ///< changes of fewer live ones are not shown
};

/// Totals before and after, then the lists. Of one process, also the time between the reports, and rates.
std::string render_difference(const report::Report& older, const report::Report& newer, const Difference& difference,
                              const TextOptions& options, const DifferenceOptions& shown = {});

}  // namespace unfreed::render
