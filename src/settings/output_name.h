// The names of files that settings give: expands templates and makes relative paths absolute.
// Allocation-free, async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/text.h"

namespace unfreed::report {

inline constexpr std::string_view kDefaultOutput = "unfreed.%e.%p.json";
inline constexpr std::string_view kStandardOutput = "-";  ///< as a report's name

/// Why a name that is not absolute cannot be used: it would mean another file than the user's.
inline constexpr const char* kWithoutFolder = "the working directory at the start was not known (it had been deleted?)";

/// Makes an output template absolute: a relative one goes under `directory` (a '%' in it means itself). "-" (standard
/// output) stays as it is, and so does any template if `directory` is "".
void add_absolute_output(base::TextBuilder& out, std::string_view pattern, std::string_view directory);

/// Puts the relative ones of some ':'-separated file names under `directory`; if it is "", they stay as they are.
void add_absolute_files(base::TextBuilder& out, std::string_view files, std::string_view directory);

/// Expands %p %e %n %% of an output template to an absolute path (a relative one goes under `directory`), or "-".
/// Returns the length, or 0 if it does not fit. An unknown % is kept as written.
size_t expand_output(std::string_view pattern, std::string_view directory, std::string_view program_name, int pid,
                     uint32_t report_number, std::span<char> out);

/// Does a template give every process a name of its own?
bool has_pid(std::string_view pattern);
/// And every report of a process?
bool has_number(std::string_view pattern);

}  // namespace unfreed::report
