// One call site in words: what it holds, its frames, what keeps that alive.
#pragma once

#include <string>
#include <string_view>

#include "render/places.h"
#include "render/text.h"

namespace unfreed::render {

class RetentionPaths;

/// "25 descriptors (all lost) from fopen64: /dev/null"
std::string describe_place(const Place& place, const TextOptions& options);
/// One call site: a heading line and its frames, indented by `indent`. All lists of call sites use it. `retention`: of
/// its report, which a list makes once.
std::string render_place(const Place& place, const RetentionPaths& retention, const TextOptions& options,
                         std::string_view indent);
std::string render_place(const Place& place, const TextOptions& options, std::string_view indent);

}  // namespace unfreed::render
