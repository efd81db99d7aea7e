// Profiles for profile stores, which keep many of them and draw each at its time.
#pragma once

#include <cstdint>
#include <string>

#include "report/report.h"

namespace unfreed::render {

/// When the report was made, in nanoseconds since 1970; 0: not known.
int64_t moment_of(const report::Report& report);

/// As `unfreed report --format pprof` makes it, but of that moment, as heap profiles of Go are: a store would draw a
/// profile of all the time that the process has run where the process started.
std::string render_momentary_profile(const report::Report& report);

}  // namespace unfreed::render
