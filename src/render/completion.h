// Reports that the runtime wrote by itself have module and offset, at best a symbol's name. Here they get what only the
// reader can find, where the binaries are: source lines, inlined frames, demangled names, and the signatures that
// follow.
#pragma once

#include "report/report.h"
#include "symbolize/symbolizer.h"

namespace unfreed::render {

/// Completes every call of `report` in place, and so every stack: of sites, threads, invalid closes, leaks across exec
/// and failures. A call that has a source line keeps it; one whose module is not here, or is not the one that ran,
/// stays as it is, and a note says so. New texts are put into `arena`.
void complete(report::Report& report, symbolize::Symbolizer& symbolizer, base::Arena& arena);

}  // namespace unfreed::render
