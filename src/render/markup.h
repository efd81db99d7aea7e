// Texts within HTML and XML.
#pragma once

#include <string>
#include <string_view>

namespace unfreed::render {

/// Printable (paths.h), with entities for what is markup. Fit for elements and for quoted attributes.
std::string escape_markup(std::string_view text);
/// The same for several lines.
std::string escape_lines(std::string_view text);

}  // namespace unfreed::render
