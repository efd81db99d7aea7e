// Report JSON, set out in one way whoever wrote it.
#pragma once

#include <string>

#include "render/json_input.h"

namespace unfreed::render {

/// Indented, a frame or object a line; text that is not UTF-8 is replaced. Ends with a newline.
std::string render_json(const Json& report);

}  // namespace unfreed::render
