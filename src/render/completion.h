// Reports that the runtime wrote by itself have module and offset, at best a symbol's name. Here they get what only the
// reader can find, where the binaries are: source lines, inlined frames, demangled names, and the signatures that
// follow.
#pragma once

#include "render/json_input.h"
#include "symbolize/symbolizer.h"

namespace unfreed::render {

/// Completes every stack of `report` in place. A frame that has a source line already keeps it; a frame whose module is
/// not here, or is not the one that ran, stays as it is, and a note says so.
void complete_frames(Json& report, symbolize::Symbolizer& symbolizer);

}  // namespace unfreed::render
