// Other ways to show a report as text than the summary: a table of call sites, a tree of calls, a function's source.
// Internal to this folder.
#pragma once

#include <string>

#include "render/renderers.h"
#include "render/text.h"

namespace unfreed::render {

/// "Server::handle(int) (src/server.cpp:61)" of the first frame worth showing.
std::string first_frame_of(const Place& place, const TextOptions& options);

/// A line for each call site.
std::string render_table(const report::Report& report, const TextOptions& options);

/// What is held, by calls: from where the program begins to what acquires; inverted, the other way round.
std::string render_tree(const report::Report& report, const RenderOptions& options, const TextOptions& text);

/// Functions whose names match, line by line, with what was acquired through each line.
std::string render_listing(const report::Report& report, const Pattern& functions, const TextOptions& options);

/// A line of source with spaces instead of tabs, and nothing that would control a terminal.
std::string source_line(std::string_view line);
/// Was the source changed after the module was built from it?
bool is_newer(const SourceTexts::File& file, std::string_view module);

/// Some lines of source around `line`, which is marked; "" if the file is not there. `module`: what was built from it.
std::string render_source(std::string_view file, uint32_t line, std::string_view module, const TextOptions& options,
                          std::string_view indent);

}  // namespace unfreed::render
