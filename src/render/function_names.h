// Functions' names in summaries: the report's (names/function_names.h), shortened to fit a line. First the parameters
// become "(…)", then template arguments "<…>", then the return type is left out,
// and at last the name is cut.
#pragma once

#include <string>
#include <string_view>

namespace unfreed::render {

/// A name longer than this is shortened.
inline constexpr size_t kLongName = 100;
std::string fit_function(std::string_view name, size_t columns = kLongName);

/// A type's name: of what std::make_shared() has allocated, that of the object in it.
std::string fit_type(std::string_view name, size_t columns = kLongName);

/// On a terminal, of printable text.
size_t columns_of(std::string_view text);
/// The text, or its beginning and "…".
std::string cut_to(std::string_view text, size_t columns);

}  // namespace unfreed::render
