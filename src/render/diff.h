// Two reports compared, place by place.
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

/// Places matched by kind and signature. Suppressed ones and those that count for nothing are left out.
struct Difference {
  std::vector<Change> appeared;
  std::vector<Change> grew;  ///< in number or, where the number is the same, in bytes
  std::vector<Change> shrank;
  std::vector<Change> gone;
  bool is_worse() const { return !appeared.empty() || !grew.empty(); }
};

/// Each list has the largest change first.
Difference compare(const report::Report& older, const report::Report& newer);

/// Totals before and after, then the lists.
std::string render_difference(const report::Report& older, const report::Report& newer, const Difference& difference,
                              const TextOptions& options);

}  // namespace unfreed::render
