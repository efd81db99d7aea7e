// Threshold rules: "fd>0, heap.bytes>1M, site.fd>=10". One parser for the runtime and the command.
//
//     rules := rule { "," rule }
//     rule  := [ "site." ] kind [ "." field ] op number [ unit ]
//     kind  := fd | heap | thread | child | mapping | misuse | inherited_by_child          op   := ">" | ">="
//     field := live (default) | bytes | total | unattributed | running …   unit := K | M | G (powers of 1024)
//
// Allocation-free, async-signal-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "ledger/layout.h"

namespace unfreed::report {

enum class Field : uint8_t { live, bytes, total, total_bytes, peak, unattributed, inherited, running, not_open };

/// What a rule is about: resources of its kind, or what was done with descriptors.
enum class Subject : uint8_t {
  resource,
  misuse,              ///< closed by who had no right to; Field::not_open: closed, though never seen open
  inherited_by_child,  ///< went along into another program
};

struct Rule {
  std::string_view text;  ///< as written, blanks around it removed; points into the parsed text
  bool per_site = false;
  Subject subject = Subject::resource;
  ledger::Kind kind = ledger::Kind::fd;  ///< that must be tracked
  Field field = Field::live;
  bool or_equal = false;
  uint64_t limit = 0;
  bool broken_by(uint64_t value) const { return or_equal ? value >= limit : value > limit; }
};

/// Why a text could not be read: one clear line for the user.
struct ParseError {
  size_t position = 0;            ///< byte offset into the text
  size_t length = 0;              ///< of the part at fault (0: at its end)
  const char* message = nullptr;  ///< static: what was wrong and what is accepted
};

inline constexpr size_t kMaxRules = 64;
struct RuleSet {
  std::array<Rule, kMaxRules> rules;
  size_t count = 0;
  std::span<const Rule> all() const { return {rules.data(), count}; }
};

/// Reads `text` (which must outlive `out`). False: `error` says why, `out` is empty. Blank text is no rules.
/// Fields that a kind does not have (fd.bytes) are errors.
bool parse_rules(std::string_view text, RuleSet& out, ParseError& error);

/// "fd", "heap" … as in rules and reports.
std::string_view kind_name(ledger::Kind kind);
/// False for a name that is none.
bool kind_from_name(std::string_view name, ledger::Kind& out);

}  // namespace unfreed::report
