// Suppression files: known and accepted resources. They stay in the report, marked, and rules do not count them.
//
//     # comment
//     fd:open_log_file           any frame's function, file or module matches the shell pattern
//     heap:libfontconfig.so*     modules by base name
//     *:signature:5f3a9c…        one site, by its signature
//     leak:foo                   LeakSanitizer's form: heap, substring
//
// Patterns are shell patterns (*, ?, [...]), matched against whole names: the function as reports show it and as
// c++filt writes it (with and without its parameters) and as linked, the source file's path and base name, the module's
// path and base name. Allocation-free, async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "ledger/layout.h"
#include "settings/rules.h"

namespace unfreed::report {

struct Suppression {
  std::string_view text;  ///< the line, as written
  std::string_view pattern;
  bool any_kind = false;
  ledger::Kind kind = ledger::Kind::heap;
  bool substring = false;  ///< LeakSanitizer's rule: matches anywhere
  bool signature = false;
};

inline constexpr size_t kMaxSuppressions = 1024;
inline constexpr size_t kMostSuppressionBytes = 1 << 20;  ///< of one file

/// Reads one file's text (which must outlive the results), appending to out[count…]. False: `error` is the reason and
/// `line` (1-based) the line; what was read before stays.
bool parse_suppressions(std::string_view text, std::span<Suppression> out, size_t& count, ParseError& error,
                        size_t& line);

/// Shell pattern match over the whole of `name`: *, ?, [a-z], [!a-z], backslash escapes. Iterative, no blow-up.
bool matches_pattern(std::string_view pattern, std::string_view name);

/// True when `name` (a function, file or module of one frame) matches this suppression's pattern.
bool matches(const Suppression& suppression, std::string_view name);

}  // namespace unfreed::report
