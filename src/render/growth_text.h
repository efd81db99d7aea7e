// What grows, for people.
#pragma once

#include <string>

#include "render/places.h"

namespace unfreed::render {

/// "grows by 720 per hour (650 to 790)", "levels off", "steady", "cannot be told yet: …".
std::string describe_growth(const report::Growth& growth, ledger::Kind kind);
/// Of a call site: ", growing by 720 per hour"; "" if there is nothing to say.
std::string describe_growth(const Place& place);
/// "the limit of 1,024 descriptors is reached in about 3 h 12 min"; "" if none is near.
std::string describe_limit(const report::KindGrowth& one);
/// Has it anything to show?
bool is_worth_saying(const report::KindGrowth& one);

}  // namespace unfreed::render
