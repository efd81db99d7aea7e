// Functions' names in summaries: as the report has them (names/function_names.h); of one that is too long for a line
// the last parameter list says "(…)".
#pragma once

#include <string>
#include <string_view>

namespace unfreed::render {

std::string fit_function(std::string_view name);

}  // namespace unfreed::render
