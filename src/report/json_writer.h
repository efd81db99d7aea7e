// A report as JSON, schema version 2. Allocation-free but for the buffer given; async-signal-safe if the sink is.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "report/report.h"

namespace unfreed::report {

/// Receives the text, piece by piece, in order; returning false stops the writing (disk full …).
struct Sink {
  void* context = nullptr;
  bool (*write)(void* context, std::string_view piece) = nullptr;
};

enum class StackForm : uint8_t {
  file,    ///< in a table of their own where there are many: a report's file
  listed,  ///< each in its place, frame by frame: what `unfreed report --format json` prints
};

inline constexpr size_t kJsonBufferBytes = 64 * 1024;

/// False if the sink refused anything. `buffer`: kJsonBufferBytes are enough.
bool write_json(const Report& report, StackForm form, std::span<char> buffer, const Sink& sink);

}  // namespace unfreed::report
