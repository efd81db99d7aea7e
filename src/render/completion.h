// Reports that the runtime wrote itself have module and offset, at best a symbol's name. Here the command adds what it
// alone can find, where the binaries are available: source lines, inlined frames, demangled names, and the signatures
// that follow.
#pragma once

#include "report/report.h"
#include "symbolize/symbolizer.h"

namespace unfreed::render {

/// Completes every call of `report` in place, and so every stack: of sites, threads, invalid closes, exec leaks and
/// failures. A call that has a source line keeps it. A call whose module is not available, or is not the one that ran,
/// stays as it is, and a note says so. `arena` receives new texts.
void complete(report::Report& report, symbolize::Symbolizer& symbolizer, base::Arena& arena);

}  // namespace unfreed::render
