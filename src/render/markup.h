// Texts within HTML, XML and Markdown.
#pragma once

#include <string>
#include <string_view>

namespace unfreed::render {

/// Printable (paths.h), with entities for what is markup. Fit for elements and for quoted attributes.
std::string escape_markup(std::string_view text);
/// The same for several lines.
std::string escape_lines(std::string_view text);

// Within Markdown (GitHub's, GitLab's).

/// Text as code, whatever is in it.
std::string as_code(std::string_view text);
/// Lines as a block of code.
std::string as_block(std::string_view text);

}  // namespace unfreed::render
