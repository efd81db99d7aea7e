// Is this JSON what a report of schema version 1 looks like? Fields that are not known are skipped and fields may be
// missing (a later version, another writer); but a field that is there must be of its kind. Half-understood figures are
// worse than none.
#pragma once

#include <string>

#include "render/json_input.h"

namespace unfreed::render {

/// "" when it is; else what is wrong, and where: "sites[3].live is not a whole number".
std::string find_fault(const Json& report);

}  // namespace unfreed::render
