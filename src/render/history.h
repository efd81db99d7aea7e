// Since when a call site's number has grown, by what its process has recorded of it (ledger/history.h): whether or not
// anybody watched. Whether that is a leak is for looks at equal distances to tell (growth.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "render/places.h"

namespace unfreed::render {

/// Of all its sites together, the oldest first; the last is now. Empty: it is not known to have grown.
std::vector<report::PastCount> history_of(const Place& place);

struct Rise {
  uint64_t from = 0;
  uint64_t to = 0;
  uint64_t since_ns = 0;  ///< ago
};
/// How it rose to what it is now: from the last time that it was much lower, or that it had stayed at about that for as
/// long before as it has risen since. None if it has not risen lately, or by little.
std::optional<Rise> find_rise(std::span<const report::PastCount> history);

/// ", grown from 12 to 480 in the last 3 h 2 min"; "" if there is nothing to say.
std::string describe_rise(const Place& place);

}  // namespace unfreed::render
