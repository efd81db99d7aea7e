// Moments in reports, which are RFC 3339 text.
#pragma once

#include <cstdint>

#include "report/report.h"

namespace unfreed::render {

/// "2024-05-01T12:34:56.123456789Z" as CLOCK_REALTIME has it; 0 if it is no time.
int64_t realtime_ns(report::Text time);

}  // namespace unfreed::render
