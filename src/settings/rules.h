// Threshold rules: "fd>0, heap.bytes>1M, site.fd>=10". One parser for the runtime and the command.
//
//     rules   := rule { "," rule }
//     rule    := [ "site." ] subject [ "." counter ] op number [ unit ]
//     op      := ">" | ">="                    unit := K | M | G (powers of 1024)
//
// Of the counter growth the number is one per time, and ends with / and s, m, h or d: 10/h, 1M/d.
//
// Subjects are the rows of ledger/kinds.inc, misuse and inherited_by_child; counters (live when none is named) those of
// settings/counters.inc that rules may name.
//
// Allocation-free, async-signal-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "settings/subjects.h"

namespace unfreed::report {

struct Rule {
  std::string_view text;  ///< as written, blanks around it removed; points into the parsed text
  bool per_site = false;
  Subject subject = Subject::fd;
  Counter counter = Counter::live;
  bool or_equal = false;
  uint64_t limit = 0;  ///< of growth: per day
  bool broken_by(uint64_t value) const { return or_equal ? value >= limit : value > limit; }
  /// The kind that must be tracked.
  ledger::Kind kind() const { return row_of(subject).kind; }
};

/// Why a text could not be read: one clear line for the user.
struct ParseError {
  size_t position = 0;            ///< byte offset into the text
  size_t length = 0;              ///< of the part at fault (0: at its end)
  const char* message = nullptr;  ///< static: what was wrong and what is accepted
  std::string_view meant = {};    ///< the kind that somebody may have meant by one that is none; "" else
};

inline constexpr size_t kMaxRules = 64;
struct RuleSet {
  std::string_view text;  ///< all of them, as written
  std::array<Rule, kMaxRules> rules;
  size_t count = 0;
  std::span<const Rule> all() const { return {rules.data(), count}; }
};

/// Reads `text` (which must outlive `out`). False: `error` says why, `out` is empty. Blank text is no rules.
/// Fields that a kind does not have (fd.bytes) are errors.
bool parse_rules(std::string_view text, RuleSet& out, ParseError& error);

/// The same for UNFREED_REPORT_AT: rules about what is counted while a process runs, so that reaching the number is
/// noticed. At most kMostLevels.
inline constexpr size_t kMostLevels = 16;
bool parse_levels(std::string_view text, RuleSet& out, ParseError& error);

}  // namespace unfreed::report
