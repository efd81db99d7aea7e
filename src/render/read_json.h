// Report JSON back into the structure it was written from. The text may be anything: the wrong types, nested without
// end, cut short.
#pragma once

#include <string>
#include <string_view>

#include "report/report.h"

namespace unfreed::render {

/// The version of the schema this program reads and writes.
inline constexpr uint64_t kSchemaVersion = 2;

/// Reads a report; its texts are copied into `arena`. What was left out reads as its default; members that this version
/// does not know are passed over. False: `error` is one line that says what is wrong and where, to stand after the
/// file's name. Throws std::bad_alloc when there is no memory.
bool read_json(std::string_view text, base::Arena& arena, report::Report& out, std::string& error);

}  // namespace unfreed::render
