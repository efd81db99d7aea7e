// Selects programs by patterns for their paths, and interpreters by the path of their script.
// Allocation-free, async-signal-safe.
#pragma once

#include <string_view>

namespace unfreed::report {

/// Does one of the comma-separated shell patterns match the base name of `program`, or all of it?
bool is_named(std::string_view patterns, std::string_view program);

/// Does this program run scripts (by its base name: sh, python3.11, perl …)?
bool is_interpreter(std::string_view program);

/// Do rules apply to this program? `patterns`: UNFREED_RULES_FOR, "" for all. `script`: the path of what an interpreter
/// runs, or "".
bool rules_are_for(std::string_view patterns, std::string_view program, std::string_view script);

/// May a program go untracked while rules are checked? Yes if `allow` (UNFREED_ALLOW_UNTRACKED) names it, or rules are
/// for others; but not an interpreter, as the script that it would have run is unknown.
bool may_go_untracked(std::string_view allow, std::string_view rules_for, std::string_view program);

}  // namespace unfreed::report
