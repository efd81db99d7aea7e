// Functions' names in summaries: as the report has them (names/function_names.h), but no longer than a line bears. Of
// a longer one first the parameters become "(…)", then template arguments "<…>", then the type returned is left out, and
// in the end it is cut.
#pragma once

#include <string>
#include <string_view>

namespace unfreed::render {

/// From here on the rest of a name says less than it takes.
inline constexpr size_t kLongName = 100;
std::string fit_function(std::string_view name, size_t columns = kLongName);

/// On a terminal, of printable text.
size_t columns_of(std::string_view text);
/// The text, or its beginning and "…".
std::string cut_to(std::string_view text, size_t columns);

}  // namespace unfreed::render
