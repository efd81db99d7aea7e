// A moment as RFC 3339 text. Allocation-free, async-signal-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace unfreed::base {

/// "2024-05-01T12:34:56.123456789Z" into `out` (at least 31 bytes); returns the text.
std::string_view format_time(uint64_t realtime_ns, std::span<char> out);

}  // namespace unfreed::base
