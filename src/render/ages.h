// How old what is held is, and reports on what is older only.
#pragma once

#include <cstdint>
#include <string>

#include "base/arena.h"
#include "render/places.h"

namespace unfreed::render {

/// ", up to 2 h 3 min old (median 34 min 5 s)"; "" if it is not known, or all of it is new.
std::string describe_ages(const Place& place);

/// Leaves in the lists of sites only what has been held for `age_ns`, and says so in a note; totals and rules are of
/// all. Sites of which ages are not known are left out, and counted in another note.
void keep_older(report::Report& report, base::Arena& arena, uint64_t age_ns, std::string_view age);

}  // namespace unfreed::render
