// Reads report JSON back into the structure that it was written from. The text may be anything: of wrong types, nested
// without end, cut short.
#pragma once

#include <string>
#include <string_view>

#include "report/report.h"

namespace unfreed::render {

/// The version of the schema this program reads and writes.
inline constexpr uint64_t kSchemaVersion = 2;

/// Reads a report; `arena` receives its texts. Missing members read as their defaults; members that this version does
/// not know are ignored. False: `error` is one line that says what is wrong and where, to be printed after the
/// file's name. Throws std::bad_alloc if there is no memory.
bool read_json(std::string_view text, base::Arena& arena, report::Report& out, std::string& error);

}  // namespace unfreed::render
